"""How much of its machine's disk a node may fill with what it fetches, and what is said when that, or the disk, is not enough."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from airflow_batchinfer.errors import ConfigError, StorageError
from airflow_batchinfer.planning.sizes import bytes_of, told_bytes

ENVIRONMENT_VARIABLE = "BATCHINFER_DISK_BUDGET"
MOST_FILES = 10_000
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE, errno.ENFILE})


class TooLarge(Exception):
    """It has more bytes than a node may ever hold; the text says so, with the remedy."""


@dataclass
class DiskBudget:
    """So many bytes and files at once, and what is taken of them; any thread may take. What is alone may be more files, but no more bytes.

    One that somebody has set is the same at every try, so what is larger fails as an item. One that was found on this machine
    is this machine's affair: another may have more.
    """

    most_bytes: int
    most_files: int = MOST_FILES
    is_set: bool = True
    taken_bytes: int = 0
    taken_files: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def admits(self, size_bytes: int, files: int) -> bool:
        """Whether so much more may be taken now."""
        if not self.taken_files:
            return size_bytes <= self.most_bytes
        return self.taken_bytes + size_bytes <= self.most_bytes and self.taken_files + files <= self.most_files

    def take(self, size_bytes: int, files: int) -> None:
        """It lies on the disk from now on, or gives it back where both are negative."""
        with self._lock:
            self.taken_bytes += size_bytes
            self.taken_files += files

    def check(self, size_bytes: int, what: str) -> None:
        """Raise `TooLarge` for what can never be taken, or `StorageError` where that is this machine's affair."""
        if size_bytes <= self.most_bytes:
            return
        told = f"{what} {told_bytes(size_bytes)}, and a node may hold {told_bytes(self.most_bytes)} on its disk at once"
        remedy = f"make mini_batch_size smaller, or set {ENVIRONMENT_VARIABLE} on the machines that run the nodes, such as 200GB"
        if not self.is_set:
            raise StorageError(f"{told}, half of what is free here: {remedy}")
        raise TooLarge(f"{told}: {remedy}")


def disk_budget(folder: Path, environment: Mapping[str, str] = os.environ) -> DiskBudget:
    """What the machine says, or half of what is free where items will lie."""
    if not (said := environment.get(ENVIRONMENT_VARIABLE, "").strip()):
        return DiskBudget(shutil.disk_usage(folder).free // 2, is_set=False)
    if not (most_bytes := bytes_of(said)):
        raise ConfigError(f"{ENVIRONMENT_VARIABLE}={said!r}: give bytes, such as 500MB or 200GB")
    return DiskBudget(most_bytes)


@contextmanager
def disk_explained(place: Path) -> Iterator[None]:
    """Turn what a full disk says into an error with a remedy: it is no fault of the item, nor of the storage that it comes from."""
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        told = f"{error.strerror} at {place}, where this node keeps what it fetches"
        raise StorageError(f"{told}: free some space, or set {ENVIRONMENT_VARIABLE} where nodes share a disk") from error
