"""A folder behind fsspec whose file system has an atomic create of its own: S3, Azure, GCS, and memory.

Everything but a stream is tried again for a while: storage throttles, times out and loses answers. What is tried again
must be harmless when it was done already: reading and replacing are, and `create` finds its own bytes.
"""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, TypeVar

from fsspec import AbstractFileSystem

from airflow_batchinfer.storage.insisting import insist, storage_failed

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_MEMORY_LOCK = RLock()


class RemoteStore:
    """See `Store`."""

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._in_memory = "memory" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
        # fsspec's memory files share one position and check before they write; one lock makes them as good as real ones.
        self._lock: AbstractContextManager[Any] = _MEMORY_LOCK if self._in_memory else nullcontext()

    @property
    def url(self) -> str:
        return str(self._fs.unstrip_protocol(self._root or "/"))

    @property
    def local_root(self) -> Path | None:
        return None

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        if stop is not None and stop <= start:
            return b""
        return bytes(self._insist(path, lambda: self._fs.cat_file(self._at(path), start=start or None, end=stop)))

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        if self._in_memory:
            yield io.BytesIO(self.read(path))
            return
        with self._insist(path, lambda: self._fs.open(self._at(path), "rb")) as file:
            yield file

    def create(self, path: str, content: bytes) -> None:
        try:
            self._insist(path, lambda: self._fs.pipe_file(self._at(path), content, mode="create"))
        except FileExistsError:
            if self.read(path) != content:
                raise

    @contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        if self._in_memory:
            buffer = io.BytesIO()
            yield buffer
            self._insist(path, lambda: self._fs.pipe_file(self._at(path), buffer.getvalue()))
            return
        file = self._insist(path, lambda: self._fs.open(self._at(path), "wb"))
        try:
            yield file
        except BaseException:
            _abandon(file)
            raise
        try:
            file.close()
        except Exception as error:
            _abandon(file)
            raise storage_failed(self._url(path), error) from error

    def find(self, folder: str) -> Iterator[str]:
        top = self._at(folder)
        found = self._insist(folder, lambda: self._list(top))
        start = len(self._root) + 1
        yield from sorted(path[start:] for path in found)

    def children(self, folder: str) -> list[str]:
        def ask() -> list[str]:
            self._fs.invalidate_cache()
            return [str(path) for path in self._fs.ls(self._at(folder), detail=False)]

        try:
            found = self._insist(folder, ask)
        except FileNotFoundError:
            return []
        return sorted({path.rstrip("/").rpartition("/")[2] for path in found})

    def delete(self, path: str) -> None:
        def remove() -> None:
            self._fs.invalidate_cache()
            if self._fs.exists(self._at(path)):
                self._fs.rm(self._at(path), recursive=True)

        self._insist(path, remove)

    def _list(self, top: str) -> list[str]:
        self._fs.invalidate_cache()
        return [str(path) for path in self._fs.find(top)]

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _insist(self, path: str, ask: Callable[[], Answer]) -> Answer:
        def ask_alone() -> Answer:
            with self._lock:
                return ask()

        try:
            return insist(ask_alone, self._url(path))
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError as error:
            raise storage_failed(self._url(path), error) from error

    def _url(self, path: str) -> str:
        return str(self._fs.unstrip_protocol(self._at(path)))


def _abandon(file: Any) -> None:  # noqa: ANN401 - fsspec's files have no common type
    """Drop an upload that must not become visible; fsspec would finalise it when the file is closed or collected."""
    if hasattr(file, "discard"):
        try:
            file.discard()
        except Exception:
            log.debug("an upload could not be aborted; the storage's own lifecycle rules remove it", exc_info=True)
    file.closed = True
