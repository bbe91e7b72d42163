"""A folder on this machine's disk (or a file system mounted on it).

A file is written under a temporary name beside its place, made durable, and then given its name in one step: `os.link`
where it must be new, `os.replace` where it may not. So a reader sees all of it or nothing, whenever we die.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from airflow_batchinfer.errors import StorageError

TEMPORARY = ".tmp-"
_REMEDIES = {
    errno.ENOSPC: "free some space and run it again",
    errno.EDQUOT: "free some of the quota and run it again",
    errno.EROFS: "the file system is read-only; choose another folder or mount it for writing",
    errno.EACCES: "let this user read and write there, or choose another folder",
    errno.EPERM: "let this user read and write there, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says into an error with a remedy; whether a file is there stays as it is."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see what the operating system says and run it again")
        message = f"{error.strerror or error} at {path}: {remedy}"
        raise StorageError(message) from error


class LocalStore:
    """See `Store`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def url(self) -> str:
        return str(self._root)

    @property
    def local_root(self) -> Path | None:
        return self._root

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        with self.open(path) as file, explained(self._root / path):
            if start:
                file.seek(start)
            return file.read() if stop is None else file.read(max(0, stop - start))

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        with explained(self._root / path):
            file = (self._root / path).open("rb")
        with file:
            yield file

    def create(self, path: str, content: bytes) -> None:
        final = self._root / path
        with explained(final), self._temporary(final) as temporary:
            _write_durably(temporary, content)
            try:
                os.link(temporary, final)
            except FileExistsError:
                if final.read_bytes() != content:
                    raise

    @contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        final = self._root / path
        with explained(final), self._temporary(final) as temporary:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(final)

    def find(self, folder: str) -> Iterator[str]:
        top = self._root / folder
        with explained(top):
            yield from _find(str(top), f"{folder}/" if folder else "")

    def children(self, folder: str) -> list[str]:
        top = self._root / folder
        with explained(top):
            try:
                return sorted(name for name in os.listdir(top) if not name.startswith(TEMPORARY))
            except FileNotFoundError:
                return []

    def delete(self, path: str) -> None:
        target = self._root / path
        with explained(target), suppress(FileNotFoundError):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()

    @contextmanager
    def _temporary(self, final: Path) -> Iterator[Path]:
        """Give a name beside the final one; whatever still bears it at the end is removed."""
        temporary = final.parent / f"{TEMPORARY}{uuid4().hex}"
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _find(folder: str, prefix: str) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: f"{entry.name}/" if entry.is_dir() else entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.startswith(TEMPORARY):
            continue
        if entry.is_dir():
            yield from _find(entry.path, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}"
