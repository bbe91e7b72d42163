"""From datasets to mini-batches, one at a time and in order: files by number, tables by bytes, either by partition."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from airflow_batchinfer.datasets import Dataset, FileDataset, TabularDataset, list_items
from airflow_batchinfer.datasets.partitions import PathKeys
from airflow_batchinfer.errors import Faults
from airflow_batchinfer.planning.cutting import Cut
from airflow_batchinfer.planning.lines import cell_of, line_of_files, line_of_slices, partition_line
from airflow_batchinfer.tables.cutting import TableCut
from airflow_batchinfer.tables.slices import Slice


class MiniBatches:
    """The mini-batches of several datasets, none of which holds items of two; `tables` is whole when all of them are made."""

    def __init__(self, datasets: Sequence[Dataset], cut: Cut, *, allow_empty: bool = False) -> None:
        self._datasets = datasets
        self._cut = cut
        self._allow_empty = allow_empty
        self.tables: list[dict[str, Any]] = []

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """How many items, and the line of the plan. What keeps inputs from being read is raised at the end, all of it at once."""
        faults = Faults()
        for dataset in self._datasets:
            found = self._of_table(dataset) if isinstance(dataset, TabularDataset) else self._of_files(dataset)
            first = faults.attempt(lambda: list(islice(found, 1)))  # noqa: B023 - called at once
            if first == [] and not self._allow_empty:
                faults.add(_nothing_in(dataset))
            if first:
                yield from first
                yield from found
        faults.raise_any()

    def _of_files(self, dataset: Dataset) -> Iterator[tuple[int, bytes]]:
        found = list_items(FileDataset(dataset.paths, dataset.start, dataset.stop), may_be_missing=self._allow_empty)
        if self._cut.keys:
            in_path = PathKeys(dataset.partition_format, self._cut.keys)
            with closing(_Groups()) as groups:
                for item in found:
                    groups.add(in_path.all_of(item.path), cell_of(item))
                for keys, cells in groups.in_order():
                    yield len(cells), partition_line(keys, cells)
            return
        while items := list(islice(found, self._cut.size)):
            yield len(items), line_of_files(items)

    def _of_table(self, dataset: TabularDataset) -> Iterator[tuple[int, bytes]]:
        table, number = TableCut(dataset, self._cut.size, self._cut.keys, may_be_missing=self._allow_empty), len(self.tables)
        self.tables.append({})
        if self._cut.keys:
            with closing(_Groups()) as groups:
                for keys, piece in table.slices():
                    groups.add(keys, json.dumps(piece))
                for keys, cells in groups.in_order():
                    pieces = [Slice(*json.loads(cell)) for cell in cells]
                    yield sum(piece.rows for piece in pieces), line_of_slices(number, pieces, keys)
        else:
            for keys, piece in table.slices():
                yield piece.rows, line_of_slices(number, [piece], keys)
        self.tables[number] = table.told()


def _nothing_in(dataset: Dataset) -> str:
    what = "holds no rows" if isinstance(dataset, TabularDataset) else "matches no files"
    return f"the input {', '.join(map(repr, dataset.paths))} {what}"


class _Groups:
    """What shares its keys, brought together; on local disk, since there may be millions."""

    def __init__(self) -> None:
        self._store = sqlite3.connect("")  # a file without a name, which SQLite removes
        self._store.execute("CREATE TABLE groups (number INTEGER PRIMARY KEY, keys TEXT UNIQUE)")
        self._store.execute("CREATE TABLE members (number INTEGER, cell TEXT)")

    def add(self, keys: Mapping[str, str], cell: str) -> None:
        """A member of the group with these keys."""
        told = json.dumps(dict(keys))
        self._store.execute("INSERT OR IGNORE INTO groups (keys) VALUES (?)", (told,))
        self._store.execute("INSERT INTO members SELECT number, ? FROM groups WHERE keys = ?", (cell, told))

    def in_order(self) -> Iterator[tuple[dict[str, str], list[str]]]:
        """Each group with its members, in the order in which they came first."""
        found = self._store.execute("SELECT keys, cell FROM members JOIN groups USING (number) ORDER BY members.number, members.rowid")
        for keys, members in groupby(found, itemgetter(0)):
            yield json.loads(keys), [cell for _, cell in members]

    def close(self) -> None:
        """Let go of the disk."""
        self._store.close()
