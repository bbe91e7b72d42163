"""From datasets to mini-batches, one at a time and in order: files by number, tables by bytes, either by partition."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from airflow_batchinfer.datasets import Dataset, FileDataset, Item, TabularDataset, list_items
from airflow_batchinfer.datasets.partitions import PathKeys
from airflow_batchinfer.errors import Faults
from airflow_batchinfer.planning.cutting import Cut
from airflow_batchinfer.planning.lines import cell_of, line_of_files, line_of_slices, partition_line
from airflow_batchinfer.tables.cutting import TableCut
from airflow_batchinfer.tables.slices import Slice


class MiniBatches:
    """The mini-batches of several datasets; `tables` is whole when all of them are made.

    None holds items of two datasets, but a partition all files that share its keys.
    """

    def __init__(self, datasets: Sequence[Dataset], cut: Cut, *, allow_empty: bool = False) -> None:
        self._datasets = datasets
        self._cut = cut
        self._allow_empty = allow_empty
        self.tables: list[dict[str, Any]] = []

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """How many items, and the line of the plan. What keeps inputs from being read is raised at the end, all of it at once."""
        if self._cut.keys:
            with closing(_Groups()) as groups:
                yield from self._partitions(groups)
            return
        faults = Faults()
        for number, dataset in enumerate(self._datasets):
            found = self._of_table(dataset, number) if isinstance(dataset, TabularDataset) else self._of_files(dataset)
            first = faults.attempt(lambda: list(islice(found, 1)))  # noqa: B023 - called at once
            if first == [] and not self._allow_empty:
                faults.add(_nothing_in(dataset))
            if first:
                yield from first
                yield from found
        faults.raise_any()

    def _of_files(self, dataset: Dataset) -> Iterator[tuple[int, bytes]]:
        found = self._listed(dataset)
        while items := list(islice(found, self._cut.size)):
            yield len(items), line_of_files(items)

    def _of_table(self, dataset: TabularDataset, number: int) -> Iterator[tuple[int, bytes]]:
        for keys, piece in self._slices(dataset):
            yield piece.rows, line_of_slices(number, [piece], keys)

    def _partitions(self, groups: "_Groups") -> Iterator[tuple[int, bytes]]:
        faults, are_tables = Faults(), False
        for number, dataset in enumerate(self._datasets):
            are_tables = isinstance(dataset, TabularDataset)
            found = faults.attempt(lambda: self._gather(dataset, number, groups))  # noqa: B023 - called at once
            if found == 0 and not self._allow_empty:
                faults.add(_nothing_in(dataset))
        if are_tables and (shared := groups.first_of_several()):
            keys, *others = shared
            faults.add(_of_two_tables(keys, [str(self._datasets[number]) for number in others]))
        faults.raise_any()
        for keys, number, cells in groups.in_order():
            if are_tables:
                pieces = [Slice(*json.loads(cell)) for cell in cells]
                yield sum(piece.rows for piece in pieces), line_of_slices(number, pieces, keys)
            else:
                yield len(cells), partition_line(keys, cells)

    def _gather(self, dataset: Dataset, number: int, groups: "_Groups") -> int:
        """Bring what a dataset holds to its groups, and count it."""
        found = 0
        if isinstance(dataset, TabularDataset):
            for keys, piece in self._slices(dataset):
                groups.add({name: keys[name] for name in self._cut.keys}, json.dumps(piece), number)
                found += 1
        else:
            in_path = PathKeys(dataset.partition_format, self._cut.keys)
            for item in self._listed(dataset):
                groups.add(in_path.all_of(item.path), cell_of(item), number)
                found += 1
        return found

    def _listed(self, dataset: Dataset) -> Iterator[Item]:
        return list_items(FileDataset(dataset.paths, dataset.start, dataset.stop), may_be_missing=self._allow_empty)

    def _slices(self, dataset: TabularDataset) -> Iterator[tuple[Mapping[str, str], Slice]]:
        table, number = TableCut(dataset, self._cut.size, self._cut.keys, may_be_missing=self._allow_empty), len(self.tables)
        self.tables.append({})
        yield from table.slices()
        self.tables[number] = table.told()


def _nothing_in(dataset: Dataset) -> str:
    what = "holds no rows" if isinstance(dataset, TabularDataset) else "matches no files"
    return f"the input {', '.join(map(repr, dataset.paths))} {what}"


def _of_two_tables(keys: Mapping[str, str], tables: Sequence[str]) -> str:
    told = ", ".join(f"{name}={value!r}" for name, value in keys.items())
    remedy = "give their paths to one dataset, such as TabularDataset.from_csv([...]), or where their columns differ make two steps of it"
    return f"partition_keys: rows with {told} are in several tables, {' and '.join(tables)}, and a partition is of one; {remedy}"


class _Groups:
    """What shares its keys, brought together; on local disk, since there may be millions."""

    def __init__(self) -> None:
        self._store = sqlite3.connect("")  # a file without a name, which SQLite removes
        self._store.execute("CREATE TABLE groups (number INTEGER PRIMARY KEY, keys TEXT UNIQUE)")
        self._store.execute("CREATE TABLE members (number INTEGER, cell TEXT, dataset INTEGER)")

    def add(self, keys: Mapping[str, str], cell: str, dataset: int) -> None:
        """A member of the group with these keys, and of which dataset it is."""
        told = json.dumps(dict(keys))
        self._store.execute("INSERT OR IGNORE INTO groups (keys) VALUES (?)", (told,))
        self._store.execute("INSERT INTO members SELECT number, ?, ? FROM groups WHERE keys = ?", (cell, dataset, told))

    def first_of_several(self) -> tuple[dict[str, str], int, int] | None:
        """The keys of the first group with members of several datasets, and two of these."""
        by_group = "SELECT keys, MIN(dataset) AS one, MAX(dataset) AS other FROM members JOIN groups USING (number) GROUP BY number"
        found = self._store.execute(f"SELECT * FROM ({by_group}) WHERE one != other LIMIT 1").fetchone()  # noqa: S608 - ours
        return found and (json.loads(found[0]), found[1], found[2])

    def in_order(self) -> Iterator[tuple[dict[str, str], int, list[str]]]:
        """Each group with the dataset of its first member and all members, in the order in which they came first."""
        found = self._store.execute(
            "SELECT keys, dataset, cell FROM members JOIN groups USING (number) ORDER BY members.number, members.rowid"
        )
        for keys, members in groupby(found, itemgetter(0)):
            cells = list(members)
            yield json.loads(keys), cells[0][1], [cell for _, _, cell in cells]

    def close(self) -> None:
        """Let go of the disk."""
        self._store.close()
