"""Items come to local disk before their mini-batch runs, and leave when it has its verdict.

What lies on local disk already is used where it lies; the worker itself looks whether it is still as planned. Everything
else is downloaded while earlier mini-batches run, each item by a thread of its own, and checked here. What is fetched and
not discarded stays within the disk budget, so a node never fills its disk, however large the items are.
"""

import json
import os
import re
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Lock
from typing import Any

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.datasets.listing import version_of
from airflow_batchinfer.engine.disk_budget import DiskBudget, TooLarge, disk_explained
from airflow_batchinfer.engine.fetching_slices import bring_slice, bytes_on_disk, lost_slice
from airflow_batchinfer.engine.row_groups import RowGroups
from airflow_batchinfer.engine.scratch import spread_out
from airflow_batchinfer.planning.lines import Planned, line_of_slices, read_line
from airflow_batchinfer.storage import insist, is_local, open_file_system
from airflow_batchinfer.tables.slices import Slice

# Each waits for storage nearly all the time. Slices of Parquet share row groups, of which only a few are kept.
FILES_AT_ONCE = 64
SLICES_AT_ONCE = 8
MOST_NAME_BYTES = 255
_HAS_URL = re.compile(rb'\["[A-Za-z0-9+.-]+://')

Cell = list[Any]
Lost = tuple[str, str]


@dataclass(frozen=True)
class Fetched:
    """A mini-batch whose items are on local disk: the line a worker gets, and the items that could not be had."""

    mini_batch: int
    line: bytes
    lost: tuple[Lost, ...] = ()
    order: int | None = None


@dataclass
class _Order:
    """A mini-batch to be fetched: what it takes of the disk, and what becomes of each item or slice."""

    number: int
    mini_batch: int
    planned: Planned
    size_bytes: int
    files: int
    refused: dict[int, str]
    coming: dict[int, Future[Cell | Lost]] = field(default_factory=dict)
    left: int = 0

    def fetched(self) -> Fetched:
        """When all has come."""
        planned = self.planned
        if planned.table is not None:
            slices = [self._slice(number, piece) for number, piece in enumerate(planned.slices)]
            return Fetched(self.mini_batch, line_of_slices(planned.table, slices, planned.keys or {}), order=self.number)
        found = [self._cell(number, item) for number, item in enumerate(planned.items)]
        cells = [each for each in found if isinstance(each, list)]
        told = cells if planned.keys is None else {"keys": planned.keys, "items": cells}
        lost = tuple(each for each in found if isinstance(each, tuple))
        return Fetched(self.mini_batch, json.dumps(told).encode(), lost, self.number)

    def _slice(self, number: int, piece: Slice) -> Sequence[object]:
        problem = self.refused.get(number)
        return lost_slice(piece, f"cannot be read: {problem}") if problem else self.coming[number].result()

    def _cell(self, number: int, item: Item) -> Cell | Lost:
        if problem := self.refused.get(number):
            return item.path, f"cannot be read: {problem}"
        return self.coming[number].result() if number in self.coming else list(item)


class Fetcher:
    """Fetches mini-batches in the background; `ready` gives those that have come. `tables` says of each table of what kind it is.

    Everything lies in a folder of its own, which goes when it is closed.
    """

    def __init__(self, folder: Path, wake: Callable[[], None], tables: Sequence[str], budget: DiskBudget) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(mkdtemp(dir=folder))
        spread_out(self._folder)
        self._wake = wake
        self._tables = tables
        self._budget = budget
        self._row_groups = RowGroups(self._folder, budget)
        self._pool = ThreadPoolExecutor(SLICES_AT_ONCE if tables else FILES_AT_ONCE, thread_name_prefix="batchinfer-fetch")
        self._next: tuple[bytes, _Order] | None = None
        self._on_disk: dict[int, _Order] = {}
        self._come: deque[_Order] = deque()
        self._lock = Lock()
        self._is_closed = Event()
        self._numbers = count()
        self.on_their_way = 0

    @staticmethod
    def is_needed(line: bytes) -> bool:
        """Whether any item of a mini-batch has to be fetched."""
        return _HAS_URL.search(line) is not None

    def fetch(self, mini_batch: int, line: bytes) -> bool:
        """Begin to fetch a mini-batch, into a folder that no other fetch writes to; False if there is no room for it now."""
        if self._next is None or self._next[0] is not line:
            self._next = line, self._order(mini_batch, read_line(line))
        order = self._next[1]
        if not self._budget.admits(order.size_bytes, order.files):
            return False
        self._next = None
        self._budget.take(order.size_bytes, order.files)
        self._on_disk[order.number] = order
        self.on_their_way += 1
        self._begin(order)
        return True

    def ready(self) -> list[Fetched]:
        """The mini-batches that have come since the last time."""
        come = [self._come.popleft() for _ in range(len(self._come))]
        self.on_their_way -= len(come)
        return [order.fetched() for order in come]

    def discard(self, fetched: Fetched) -> None:
        """What has come is needed no more."""
        if fetched.order is not None:
            order = self._on_disk.pop(fetched.order)
            shutil.rmtree(self._place(order), ignore_errors=True)
            self._budget.take(-order.size_bytes, -order.files)
            self._row_groups.sweep()

    def close(self) -> None:
        """Stop; what is still being fetched then is of no use to anyone."""
        self._is_closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _place(self, order: _Order) -> Path:
        return self._folder / str(order.number)

    def _order(self, mini_batch: int, planned: Planned) -> _Order:
        if planned.table is not None:
            kind = self._tables[planned.table]
            sizes = {number: bytes_on_disk(piece, kind) for number, piece in enumerate(planned.slices)}
        else:
            sizes = {number: item.size for number, item in enumerate(planned.items) if not is_local(item.path)}
        refused = self._too_large(sizes)
        left = {number: size for number, size in sizes.items() if number not in refused}
        return _Order(next(self._numbers), mini_batch, planned, sum(left.values()), len(left), refused)

    def _too_large(self, sizes: Mapping[int, int]) -> dict[int, str]:
        """Which items can never be on the disk, and why; all of them, if those that could do not fit together."""
        refused: dict[int, str] = {}
        for number, size in sizes.items():
            try:
                self._budget.check(size, "it has")
            except TooLarge as why:
                refused[number] = str(why)
        together = [size for number, size in sizes.items() if number not in refused]
        try:
            self._budget.check(sum(together), f"the {len(together):,} files of its mini-batch have")
        except TooLarge as why:
            return dict.fromkeys(sizes, str(why)) | refused
        return refused

    def _begin(self, order: _Order) -> None:
        """Give each item or slice to a thread; the last one to end says that the mini-batch has come."""
        planned, place = order.planned, self._place(order)

        def submit(bring: Callable[..., Cell | Lost], *given: object) -> Future[Cell | Lost]:
            return self._pool.submit(self._unless_closed, bring, *given)

        if planned.table is not None:
            kind = self._tables[planned.table]
            for number, piece in enumerate(planned.slices):
                if number not in order.refused:
                    order.coming[number] = submit(bring_slice, piece, kind, place / str(number), self._row_groups)
        else:
            items = {number: item for number, item in enumerate(planned.items) if number not in order.refused and not is_local(item.path)}
            for (number, item), target in zip(items.items(), targets(place, [item.path for item in items.values()]), strict=True):
                order.coming[number] = submit(_bring, item, target)
        order.left = len(order.coming)
        if not order.left:
            self._come.append(order)
            self._wake()
        for future in list(order.coming.values()):
            future.add_done_callback(lambda _: self._one_came(order))

    def _unless_closed(self, bring: Callable[..., Cell | Lost], *given: object) -> Cell | Lost:
        if self._is_closed.is_set():
            raise CancelledError
        return bring(*given)

    def _one_came(self, order: _Order) -> None:
        with self._lock:
            order.left -= 1
            if order.left:
                return
        self._come.append(order)
        self._wake()


def targets(place: Path, urls: Sequence[str]) -> Iterator[Path]:
    """Where the items of a mini-batch go. Items of one folder share a folder, since making one takes longer than writing a small file."""
    times: Counter[Path] = Counter()
    for url in urls:
        name = safe_name(url)
        yield place / str(times[name]) / name
        times[name] += 1


def safe_name(url: str) -> Path:
    """A place for a file, of the last two parts of its URL, which scripts look at; a key may hold anything, also `..`."""
    parts = [part for part in url.partition("://")[2].split("/") if part not in ("", ".", "..")][-2:]
    return Path(*(_cut(part) for part in parts or ["item"]))


def _cut(name: str) -> str:
    """A name that a file system takes; of one that is too long, the end, since that says what it is."""
    return os.fsdecode(os.fsencode(name.replace("\0", "_"))[-MOST_NAME_BYTES:])


def _bring(item: Item, target: Path) -> Cell | Lost:
    """Download one item; how a worker gets it, or what is wrong with it. An error of the storage itself stops the node, not the item."""
    fs, path = open_file_system(item.path, use_listings_cache=False)

    def download() -> bool:
        fs.invalidate_cache()
        entry = fs.info(path)
        if int(entry["size"] or 0) != item.size or version_of(entry) != item.version:
            return False
        with disk_explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(path, str(target))
        return target.stat().st_size == item.size

    try:
        as_planned = insist(download, item.path)
    except FileNotFoundError:
        return item.path, "cannot be read: it does not exist any more"
    except OSError as error:
        return item.path, f"cannot be read: {error}"
    return [str(target), None, None, item.path] if as_planned else (item.path, "changed since planned")
