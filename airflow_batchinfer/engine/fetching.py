"""Items come to local disk before their mini-batch runs, and leave when it has its verdict.

What lies on local disk already is used where it lies; the worker itself looks whether it is still as planned. Everything
else is downloaded by threads while earlier mini-batches run, and checked here.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.datasets.listing import version_of
from airflow_batchinfer.engine.fetching_slices import bring_slice
from airflow_batchinfer.engine.row_groups import RowGroups
from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.planning.lines import line_of_slices, read_line
from airflow_batchinfer.storage import insist, is_local, open_file_system

THREADS = 8
MOST_NAME_BYTES = 255
_HAS_URL = re.compile(rb'\["[A-Za-z0-9+.-]+://')


@dataclass(frozen=True)
class Fetched:
    """A mini-batch whose items are on local disk: the line a worker gets, and the items that could not be had."""

    mini_batch: int
    line: bytes
    lost: tuple[tuple[str, str], ...] = ()


class Fetcher:
    """Fetches mini-batches in the background; `ready` gives those that have come. `tables` says of each table of what kind it is."""

    def __init__(self, folder: Path, wake: Callable[[], None], tables: Sequence[str] = ()) -> None:
        self._folder = folder
        self._wake = wake
        self._tables = tables
        self._row_groups = RowGroups(folder)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="batchinfer-fetch")
        self._coming: list[Future[Fetched]] = []
        self._places: dict[int, list[Path]] = {}
        self._numbers = count()

    @staticmethod
    def is_needed(line: bytes) -> bool:
        """Whether any item of a mini-batch has to be fetched."""
        return _HAS_URL.search(line) is not None

    def fetch(self, mini_batch: int, line: bytes) -> None:
        """Begin to fetch a mini-batch, into a folder that no other fetch writes to."""
        place = self._folder / str(next(self._numbers))
        self._places.setdefault(mini_batch, []).append(place)
        future = self._pool.submit(_fetch, mini_batch, line, place, self._tables, self._row_groups)
        self._coming.append(future)
        future.add_done_callback(lambda _: self._wake())

    @property
    def on_their_way(self) -> int:
        """How many mini-batches are being fetched."""
        return len(self._coming)

    def ready(self) -> list[Fetched]:
        """The mini-batches that have come since the last time."""
        come = [future for future in self._coming if future.done()]
        self._coming = [future for future in self._coming if future not in come]
        return [future.result() for future in come]

    def discard(self, mini_batch: int) -> None:
        """A mini-batch needs its items no more."""
        for place in self._places.pop(mini_batch, ()):
            shutil.rmtree(place, ignore_errors=True)

    def close(self) -> None:
        """Stop; what is still being fetched then is of no use to anyone."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _fetch(mini_batch: int, line: bytes, place: Path, tables: Sequence[str], row_groups: RowGroups) -> Fetched:
    planned = read_line(line)
    if planned.table is not None:
        kind = tables[planned.table]
        slices = [bring_slice(piece, kind, place / str(number), row_groups) for number, piece in enumerate(planned.slices)]
        return Fetched(mini_batch, line_of_slices(planned.table, slices, planned.keys or {}))
    cells: list[list[Any]] = []
    lost: list[tuple[str, str]] = []
    for number, item in enumerate(planned.items):
        if is_local(item.path):
            cells.append(list(item))
            continue
        target = place / str(number) / safe_name(item.path)
        if problem := _bring(item, target):
            lost.append((item.path, problem))
        else:
            cells.append([str(target), None, None, item.path])
    told = cells if planned.keys is None else {"keys": planned.keys, "items": cells}
    return Fetched(mini_batch, json.dumps(told).encode(), tuple(lost))


def safe_name(url: str) -> Path:
    """A place for a file, of the last two parts of its URL, which scripts look at; a key may hold anything, also `..`."""
    parts = [part for part in url.partition("://")[2].split("/") if part not in ("", ".", "..")][-2:]
    return Path(*(_cut(part) for part in parts or ["item"]))


def _cut(name: str) -> str:
    """A name that a file system takes; of one that is too long, the end, since that says what it is."""
    return os.fsdecode(os.fsencode(name.replace("\0", "_"))[-MOST_NAME_BYTES:])


def _bring(item: Item, target: Path) -> str | None:
    """Download one item; what is wrong with it, or None. An error of the storage itself stops the node, not the item."""
    fs, path = open_file_system(item.path, use_listings_cache=False)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{error.strerror} at {target.parent}: items are fetched to this machine's temporary folder; free some space"
        ) from error

    def download() -> str | None:
        fs.invalidate_cache()
        entry = fs.info(path)
        if int(entry["size"] or 0) != item.size or version_of(entry) != item.version:
            return "changed since planned"
        fs.get_file(path, str(target))
        return None if target.stat().st_size == item.size else "changed since planned"

    try:
        return insist(download, item.path)
    except FileNotFoundError:
        return "cannot be read: it does not exist any more"
    except OSError as error:
        return f"cannot be read: {error}"
