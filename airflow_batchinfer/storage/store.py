"""The seam: what every storage must do for us, and what can be said once for all of them.

A `Store` must never show a reader half of anything, and `create` must have exactly one winner. Paths are relative to the
store's root, with forward slashes. A missing file is `FileNotFoundError`; all other failures are `StorageError`.
"""

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

COPY_BYTES = 1 << 20


class Store(Protocol):
    """A folder on some storage."""

    @property
    def url(self) -> str:
        """Where the folder is, as a person would write it."""

    @property
    def local_root(self) -> Path | None:
        """The folder itself where it lies on this machine's disk, else None."""

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        """The bytes of a file, or of a range of it."""

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A file to read as a stream."""

    def create(self, path: str, content: bytes) -> None:
        """Write a file that must not exist: FileExistsError if it does, unless it holds these very bytes.

        The exception makes a lost answer harmless: whoever asks again learns that it was done. So give every record
        that competes for a path something of its own.
        """

    def writer(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A stream that replaces the file when the block ends well, and leaves no trace when it raises."""

    def find(self, folder: str) -> Iterator[str]:
        """The paths of all files below a folder, in sorted order; none if there is no such folder."""

    def children(self, folder: str) -> list[str]:
        """The names of what lies directly in a folder, in sorted order; none if there is no such folder."""

    def delete(self, path: str) -> None:
        """Remove a file or a folder with all below it; one that is not there is no error."""


def copy_file(source: Store, path: str, target: Store, target_path: str) -> None:
    """Copy one file from one store to another."""
    with source.open(path) as reader, target.writer(target_path) as writer:
        shutil.copyfileobj(reader, writer, COPY_BYTES)


def copy_tree(source: Store, folder: str, target: Store, target_folder: str) -> None:
    """Copy every file below a folder."""
    for path in source.find(folder):
        copy_file(source, path, target, f"{target_folder}/{path.removeprefix(folder).lstrip('/')}".lstrip("/"))
