"""A line of the plan: one mini-batch, as a worker gets it but for what has to be fetched first.

[[path, size, version], ...]                                                      files
{"keys": {...}, "items": [[path, size, version], ...]}                            files of a partition
{"keys": {...}, "table": 0, "slices": [[path, size, version, start, stop, first, rows], ...]}     rows of a table
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.tables.slices import Slice


@dataclass(frozen=True)
class Planned:
    """What a line says."""

    items: tuple[Item, ...] = ()
    slices: tuple[Slice, ...] = ()
    table: int | None = None
    keys: Mapping[str, str] | None = None

    @property
    def count(self) -> int:
        """How many items: files or rows."""
        return len(self.items) + sum(piece.rows for piece in self.slices)

    def names(self, first: int = 0, stop: int | None = None) -> list[str]:
        """What these items are called, from `first` to `stop`: files by their paths, rows by file and numbers."""
        if self.table is None:
            return [item.path for item in self.items[first:stop]]
        return list(self._row_names(first, self.count if stop is None else stop))

    def _row_names(self, first: int, stop: int) -> Iterator[str]:
        passed = 0
        for piece in self.slices:
            start, end = max(first - passed, 0), min(stop - passed, piece.rows)
            passed += piece.rows
            if start < end:
                yield piece.told(start, end)


def line_of_files(items: Sequence[Item], keys: Mapping[str, str] | None = None) -> bytes:
    """A mini-batch of files."""
    cells = f"[{','.join(map(cell_of, items))}]"
    return f"{cells}\n".encode() if keys is None else partition_line(keys, [cells[1:-1]])


def cell_of(item: Item) -> str:
    """A file within a line; a million of them must not take long."""
    path, size, version = item
    return f"[{encode_basestring_ascii(path)},{size},{version if isinstance(version, int) else encode_basestring_ascii(version)}]"


def partition_line(keys: Mapping[str, str], cells: Sequence[str]) -> bytes:
    """A mini-batch of files that share their keys; `cells` are theirs."""
    return f'{{"keys":{json.dumps(dict(keys))},"items":[{",".join(cells)}]}}\n'.encode()


def line_of_slices(table: int, slices: Sequence[Sequence[object]], keys: Mapping[str, str]) -> bytes:
    """A mini-batch of rows; of each slice at least what `Slice` holds."""
    return (json.dumps({"keys": dict(keys), "table": table, "slices": slices}, separators=(",", ":")) + "\n").encode()


def read_line(line: bytes) -> Planned:
    """What a line says."""
    said = json.loads(line)
    if isinstance(said, list):
        return Planned(items=tuple(Item(*cell) for cell in said))
    if "table" in said:
        return Planned(slices=tuple(Slice(*cell) for cell in said["slices"]), table=said["table"], keys=said["keys"])
    return Planned(items=tuple(Item(*cell) for cell in said["items"]), keys=said["keys"])
