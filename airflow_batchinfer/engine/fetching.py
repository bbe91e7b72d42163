"""Items come to local disk before their mini-batch runs, and leave when it has its verdict.

What lies on local disk already is used where it lies; the worker itself looks whether it is still as planned. Everything
else is downloaded by threads while earlier mini-batches run, and checked here.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.datasets.listing import version_of
from airflow_batchinfer.planning.plan import items_of
from airflow_batchinfer.storage import insist, is_local, open_file_system

THREADS = 8


@dataclass(frozen=True)
class Fetched:
    """A mini-batch whose items are on local disk: the line a worker gets, and the items that could not be had."""

    mini_batch: int
    line: bytes
    lost: tuple[tuple[str, str], ...] = ()


class Fetcher:
    """Fetches mini-batches in the background; `ready` gives those that have come."""

    def __init__(self, folder: Path, wake: Callable[[], None]) -> None:
        self._folder = folder
        self._wake = wake
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="batchinfer-fetch")
        self._coming: dict[Future[Fetched], int] = {}

    @staticmethod
    def is_needed(line: bytes) -> bool:
        """Whether a mini-batch has to be fetched at all. A plan line holds items of one input, so the first one tells."""
        return not is_local(items_of(line)[0].path) if b"://" in line else False

    def fetch(self, mini_batch: int, line: bytes) -> None:
        """Begin to fetch a mini-batch."""
        future = self._pool.submit(self._fetch, mini_batch, line)
        self._coming[future] = mini_batch
        future.add_done_callback(lambda _: self._wake())

    @property
    def on_their_way(self) -> int:
        """How many mini-batches are being fetched."""
        return len(self._coming)

    def ready(self) -> list[Fetched]:
        """The mini-batches that have come since the last time."""
        come = [future for future in self._coming if future.done()]
        for future in come:
            del self._coming[future]
        return [future.result() for future in come]

    def discard(self, mini_batch: int) -> None:
        """A mini-batch needs its items no more."""
        shutil.rmtree(self._folder / str(mini_batch), ignore_errors=True)

    def close(self) -> None:
        """Stop; what is still being fetched then is of no use to anyone."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, mini_batch: int, line: bytes) -> Fetched:
        cells: list[list[Any]] = []
        lost: list[tuple[str, str]] = []
        for item in items_of(line):
            place = self._folder / str(mini_batch) / item.path.partition("://")[2].lstrip("/")
            if problem := _bring(item, place):
                lost.append((item.path, problem))
            else:
                cells.append([str(place), None, None])
        return Fetched(mini_batch, json.dumps(cells).encode(), tuple(lost))


def _bring(item: Item, place: Path) -> str | None:
    """Download one item; what is wrong with it, or None. An error of the storage itself stops the node, not the item."""
    try:
        return insist(lambda: _download(item, place), item.path)
    except FileNotFoundError:
        return "cannot be read: it does not exist any more"
    except OSError as error:
        return f"cannot be read: {error}"


def _download(item: Item, place: Path) -> str | None:
    fs, path = open_file_system(item.path, use_listings_cache=False)
    fs.invalidate_cache()
    entry = fs.info(path)
    if int(entry["size"] or 0) != item.size or version_of(entry) != item.version:
        return "changed since planned"
    place.parent.mkdir(parents=True, exist_ok=True)
    fs.get_file(path, str(place))
    return None if place.stat().st_size == item.size else "changed since planned"
