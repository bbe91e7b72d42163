"""A folder on this machine's disk (or a file system mounted on it).

A file is written without a name, made durable, and only then given one, in one step: `os.link` where it must be new,
`os.replace` where it may not. So a reader sees all of it or nothing, whenever we die, and no half of it stays behind.
"""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self
from uuid import uuid4

from airflow_batchinfer.errors import StorageError

TEMPORARY = ".batchinfer-tmp-"
_REMEDIES = {
    errno.ENOSPC: "free some space and run it again",
    errno.EDQUOT: "free some of the quota and run it again",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f) and run it again",
    errno.EROFS: "the file system is read-only; choose another folder or mount it for writing",
    errno.EACCES: "let this user read and write there, or choose another folder",
    errno.EPERM: "let this user read and write there, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of this path is a file; choose another folder",
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
        with explained(final), _Unnamed(final) as file:
            file.write(content)
            try:
                file.link()
            except FileExistsError:
                if final.read_bytes() != content:
                    raise

    @contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        final = self._root / path
        with explained(final):
            file = _Unnamed(final)
        with file:
            yield file  # type: ignore[misc]  # it has what a writer needs
            with explained(final):
                file.replace()

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


class _Unnamed:
    """A file that has no name yet, in the folder where it is to get one; without one at the end, it never was.

    Where the file system cannot do that, it bears a temporary name.
    """

    def __init__(self, final: Path) -> None:
        self._final = final
        self._temporary: Path | None = None
        folder = final.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise StorageError(f"{folder} is a file, not a folder; choose another folder") from None
        try:
            descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o666)
        except (OSError, AttributeError):
            self._temporary = self._temporary_name()
            descriptor = os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        self._file = os.fdopen(descriptor, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what could not be written is told where it was tried
            self._file.close()
        if self._temporary:
            self._temporary.unlink(missing_ok=True)

    def write(self, content: bytes) -> int:
        with explained(self._final):
            return self._file.write(content)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.write(piece)

    def flush(self) -> None:
        """Nothing is seen before the end."""

    def link(self) -> None:
        """Give it its name, which must be free."""
        self._make_durable()
        self._link(self._final)

    def replace(self) -> None:
        """Give it its name, whoever bears it."""
        self._make_durable()
        if self._temporary is None:
            temporary = self._temporary_name()
            self._link(temporary)
            self._temporary = temporary
        self._temporary.replace(self._final)

    def _link(self, name: Path) -> None:
        if self._temporary:
            os.link(self._temporary, name)
        else:
            # Only with a descriptor does os.link follow the link that /proc shows for the file.
            os.link(f"/proc/self/fd/{self._file.fileno()}", name, src_dir_fd=self._file.fileno())

    def _make_durable(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _temporary_name(self) -> Path:
        return self._final.parent / f"{TEMPORARY}{uuid4().hex}"


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
