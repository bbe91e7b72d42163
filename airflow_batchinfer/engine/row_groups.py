"""Row groups of remote Parquet files on local disk, each brought once for all the slices that follow each other in it.

What is brought looks like the whole file: the bytes of the groups and of the footer are where they are there, and between them
are holes, which take no disk. Nothing is decoded here. Each slice gets a link of its own, so that it can be discarded alone;
the bytes count as taken until the last link is gone.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.engine.disk_budget import DiskBudget, disk_explained
from airflow_batchinfer.tables.parquet import groups_of, parquet_file
from airflow_batchinfer.tables.slices import Slice
from airflow_batchinfer.tables.streams import range_reader

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

MOST_FILES = 4
REQUEST_BYTES = 8 << 20
_MAGIC = b"PAR1"
_LENGTH_BYTES = 4
# What old writers forgot to count at the end of a column.
_UNCOUNTED_BYTES = 100
Made = TypeVar("Made")


class Footer(NamedTuple):
    """The end of a Parquet file: where it begins, and what it says."""

    start: int
    metadata: "FileMetaData"


class Brought(NamedTuple):
    """Row groups on local disk, and how many bytes of it they take."""

    path: Path
    size_bytes: int


class RowGroups:
    """See above; any thread may use it."""

    def __init__(self, folder: Path, budget: DiskBudget) -> None:
        self._folder = folder
        self._budget = budget
        self._numbers = count()
        self._lock = Lock()
        # What is forgotten, but may still have links; and how many bytes it is.
        self._forgotten: dict[Path, int] = {}
        self._footers = _Lately[Footer](MOST_FILES)
        self._files = _Lately[Brought](MOST_FILES, drop=self._forget)

    def link(self, piece: Slice, target: Path) -> None:
        """Put what a worker needs of a slice's file at `target`."""
        item = Item(piece.path, piece.size, piece.version)
        footer = self._footers.get(item, lambda: _footer(item))
        groups = groups_of(footer.metadata, piece.start, piece.stop)
        while True:
            file = self._files.get((item, groups[0], groups[-1]), lambda: self._bring(item, footer, groups)).path
            try:
                return os.link(file, target)
            except FileNotFoundError:
                if not self._folder.exists():
                    raise  # the node is done with it
                continue  # others needed so many that it is gone again

    def sweep(self) -> None:
        """Remove what is forgotten and has no link left."""
        with self._lock:
            for path in [path for path in self._forgotten if path.exists() and path.stat().st_nlink == 1]:
                path.unlink()
                self._budget.take(-self._forgotten.pop(path), 0)

    def _forget(self, brought: "Brought") -> None:
        with self._lock:
            self._forgotten[brought.path] = brought.size_bytes
        self.sweep()

    def _bring(self, item: Item, footer: Footer, groups: list[int]) -> "Brought":
        ranges = [*_ranges(footer.metadata, groups), (footer.start, item.size)]
        size_bytes = sum(stop - start for start, stop in ranges)
        self._budget.check(size_bytes, "the row groups that it is of have")
        file = self._folder / f"groups-{next(self._numbers)}"
        read = range_reader(item)
        with disk_explained(file), file.open("wb") as stream:
            stream.write(_MAGIC)
            for start, stop in ranges:
                for at in range(start, stop, REQUEST_BYTES):
                    stream.seek(at)
                    stream.write(read(at, min(at + REQUEST_BYTES, stop)))
        self._budget.take(size_bytes, 0)
        return Brought(file, size_bytes)


def _footer(item: Item) -> Footer:
    read = range_reader(item)
    length = int.from_bytes(read(item.size - len(_MAGIC) - _LENGTH_BYTES, item.size - len(_MAGIC)), "little")
    with parquet_file(item) as file:
        return Footer(item.size - len(_MAGIC) - _LENGTH_BYTES - length, file.metadata)


def _ranges(metadata: "FileMetaData", groups: list[int]) -> Iterator[tuple[int, int]]:
    """Where the columns of these groups are; one range for each group."""
    for number in groups:
        group = metadata.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        starts = [min(filter(None, (column.dictionary_page_offset, column.data_page_offset))) for column in columns]
        stops = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
        yield min(starts), max(stops) + _UNCOUNTED_BYTES


class _Lately(Generic[Made]):
    """The last few of what is costly to make. Who wants one while another thread makes it, waits for that."""

    def __init__(self, most: int, drop: Callable[[Made], object] = lambda _: None) -> None:
        self._most = most
        self._drop = drop
        self._lock = Lock()
        self._made: OrderedDict[Hashable, Future[Made]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What has this key, made now or lately."""
        mine = Future[Made]()
        with self._lock:
            future = self._made.setdefault(key, mine)
            self._made.move_to_end(key)
            if len(self._made) > self._most:
                _, oldest = self._made.popitem(last=False)
                oldest.add_done_callback(lambda done: None if done.exception() else self._drop(done.result()))
        if future is mine:
            try:
                mine.set_result(make())
            except BaseException as error:  # noqa: BLE001 - it is raised at all who wait for it
                with self._lock:
                    if self._made.get(key) is mine:
                        del self._made[key]
                mine.set_exception(error)
        return future.result()
