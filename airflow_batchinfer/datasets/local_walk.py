"""Walk a local folder in the order of whole paths, with memory that does not grow with the number of files.

A folder's entries are sorted in runs; where there is more than one run they wait on disk and are merged. An entry is one
string, `name NUL size NUL mtime` for a file and `name/` for a folder: such strings sort as the whole paths would.
"""

import heapq
import os
import pickle
import stat
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from airflow_batchinfer.errors import ConfigError

RUN_ENTRIES = 100_000
_PIECE_ENTRIES = 2_000
Found = tuple[str, int, int]


def walk(top: Path, depth: int | None = None) -> Iterator[Found]:
    """Path, size and mtime (ns) of every file below a folder, `depth` levels down at most.

    Hidden files are files; links are followed; a link that leads nowhere is a file that cannot be read; sockets, pipes
    and devices are passed over.
    """
    return _walk(str(top).rstrip("/"), depth, frozenset())


def _walk(folder: str, depth: int | None, above: frozenset[tuple[int, int]]) -> Iterator[Found]:
    identity = os.stat(folder or "/")
    here = (identity.st_dev, identity.st_ino)
    if here in above:
        raise ConfigError(f"the folder {folder} leads back to one above it by a link, so it never ends; remove the link")
    for entry in _sorted_entries(folder or "/"):
        if entry[-1] == "/":
            if depth is None or depth > 1:
                yield from _walk(f"{folder}/{entry[:-1]}", depth and depth - 1, above | {here})
        else:
            name, size, modified = entry.split("\0")
            yield f"{folder}/{name}", int(size), int(modified)


def _sorted_entries(folder: str) -> Iterator[str]:
    with os.scandir(folder) as found:
        entries = _entries(found)
        run = sorted(islice(entries, RUN_ENTRIES))
        if len(run) == RUN_ENTRIES:
            yield from _merged_runs(run, entries)
            return
    yield from run


def _merged_runs(run: list[str], entries: Iterator[str]) -> Iterator[str]:
    with tempfile.TemporaryFile(prefix="batchinfer-listing-") as disk:
        starts = []
        while run:
            starts.append(_store(run, disk))
            run = sorted(islice(entries, RUN_ENTRIES))
        yield from heapq.merge(*(_stored(disk, start) for start in starts))


def _entries(found: Iterator[os.DirEntry[str]]) -> Iterator[str]:
    for entry in found:
        try:
            if entry.is_dir():
                yield f"{entry.name}/"
                continue
            status = entry.stat()
        except OSError:  # a link that leads nowhere, or in a circle
            status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            yield f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}"


def _store(run: list[str], disk: BinaryIO) -> int:
    """Append a sorted run, in pieces that can be read one at a time; give where it starts."""
    start = disk.seek(0, os.SEEK_END)
    for first in range(0, len(run), _PIECE_ENTRIES):
        piece = pickle.dumps(run[first : first + _PIECE_ENTRIES])
        disk.write(len(piece).to_bytes(8, "little") + piece)
    disk.write(bytes(8))
    disk.flush()
    return start


def _stored(disk: BinaryIO, position: int) -> Iterator[str]:
    descriptor = disk.fileno()
    while length := int.from_bytes(os.pread(descriptor, 8, position), "little"):
        yield from pickle.loads(os.pread(descriptor, length, position + 8))  # noqa: S301 - our own, from an unlinked file
        position += 8 + length
