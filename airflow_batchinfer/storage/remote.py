"""A folder behind fsspec whose file system has an atomic create of its own: S3, Azure, GCS, and memory.

What is asked again must be harmless when it was done already: reading and replacing are, and `create` finds its own bytes.
Only what is too large to be kept, a stream, cannot be asked again.
"""

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from airflow_batchinfer.storage.azure import blobs_below, check_name, is_azure, names_in
from airflow_batchinfer.storage.connections import as_given
from airflow_batchinfer.storage.insisting import insist, storage_failed

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

STREAM_BYTES = 32 << 20
REMOVERS = 16
_MEMORY_LOCK = RLock()


class RemoteStore:
    """See `Store`."""

    def __init__(self, fs: "AbstractFileSystem", root: str, given: str = "") -> None:
        self._fs = fs
        self._given = given
        self._root = root.rstrip("/")
        self._in_memory = "memory" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
        # fsspec's memory files share one position and check before they write; one lock makes them as good as real ones.
        self._lock: AbstractContextManager[Any] = _MEMORY_LOCK if self._in_memory else nullcontext()

    @property
    def url(self) -> str:
        return as_given(self._given, str(self._fs.unstrip_protocol(self._root or "/")))

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
        file = self._insist(path, lambda: self._fs.open(self._at(path), "rb"))
        with closing(file):
            yield cast("BinaryIO", _Told(file, self._url(path)))

    def create(self, path: str, content: bytes) -> None:
        self._check_name(path)
        try:
            self._insist(path, lambda: self._fs.pipe_file(self._at(path), content, mode="create"))
        except FileExistsError:
            if self.read(path) != content:
                raise

    @contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        self._check_name(path)
        upload = _Upload(lambda: self._fs.open(self._at(path), "wb"), self._url(path), None if self._in_memory else STREAM_BYTES)
        try:
            yield cast("BinaryIO", upload)
        except BaseException:
            upload.abandon()
            raise
        if upload.is_streaming:
            upload.finish()
        else:
            self._insist(path, lambda: self._fs.pipe_file(self._at(path), upload.content))

    def find(self, folder: str) -> Iterator[str]:
        top = self._at(folder)
        try:
            found = self._insist(folder, lambda: self._list(top))
        except FileNotFoundError:
            return
        start = len(self._root) + 1
        # A folder that fills while it is listed is listed as a file by some.
        yield from sorted(path[start:] for path in found if path.startswith(f"{top}/"))

    def children(self, folder: str) -> list[str]:
        def ask() -> list[str]:
            if is_azure(self._fs):
                return list(names_in(self._fs, self._at(folder)))
            self._fs.invalidate_cache()
            return [str(path) for path in self._fs.ls(self._at(folder), detail=False)]

        try:
            found = self._insist(folder, ask)
        except FileNotFoundError:
            return []
        return sorted({path.rstrip("/").rpartition("/")[2] for path in found})

    def delete(self, path: str) -> None:
        # Not fsspec's `rm`: it takes what it is given for a pattern.
        with ThreadPoolExecutor(REMOVERS) as pool:
            for _ in pool.map(self._remove, self.find(path)):
                pass
        # Where folders are things of their own, they must be empty.
        for folder in sorted(self._folders_below(path), reverse=True):
            self._remove(folder)
        self._remove(path)

    def _folders_below(self, path: str) -> list[str]:
        if not is_azure(self._fs):
            return []
        start = len(self._root) + 1
        top = self._at(path)
        return self._insist(path, lambda: [blob.path[start:] for blob in blobs_below(self._fs, top) if blob.is_folder])

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._insist(path, lambda: self._fs.rm_file(self._at(path)))

    def _list(self, top: str) -> list[str]:
        if is_azure(self._fs):
            return [blob.path for blob in blobs_below(self._fs, top) if not blob.is_folder]
        self._fs.invalidate_cache()
        return [str(path) for path in self._fs.find(top)]

    def _check_name(self, path: str) -> None:
        if is_azure(self._fs):
            check_name(self._fs, self._at(path))

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


class _Told:
    """A stream whose failures are told as ours, whatever the file system raises."""

    def __init__(self, file: Any, url: str) -> None:  # noqa: ANN401 - fsspec's files have no common type
        self._file = file
        self._url = url

    def read(self, size: int = -1) -> bytes:
        return cast("bytes", self._tell(self._file.read, size))

    def seek(self, position: int) -> int:
        return cast("int", self._tell(self._file.seek, position))

    def tell(self) -> int:
        return cast("int", self._file.tell())

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - as above
        return cast("int", self._tell(self._file.readinto, buffer))

    def _tell(self, do: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - as above
        try:
            return do(*arguments)
        except Exception as error:
            raise storage_failed(self._url, error) from error


class _Upload:
    """A file on its way up: kept here while it is small, so that it can be sent again; beyond that, a stream."""

    def __init__(self, start: Callable[[], Any], url: str, stream_bytes: int | None) -> None:
        self._start = start
        self._url = url
        self._stream_bytes = stream_bytes
        self._kept = bytearray()
        self._file: Any = None

    @property
    def is_streaming(self) -> bool:
        """Whether a part of it has gone already."""
        return self._file is not None

    @property
    def content(self) -> bytes:
        """All of it, while it is kept."""
        return bytes(self._kept)

    def write(self, piece: bytes) -> int:
        """Keep it, or send what is kept."""
        self._kept += piece
        if self._stream_bytes is not None and len(self._kept) >= self._stream_bytes:
            self._send()
        return len(piece)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """Write each."""
        for piece in pieces:
            self.write(piece)

    def flush(self) -> None:
        """Nothing is seen before the end."""

    def finish(self) -> None:
        """Send the rest; only now anybody can see the file."""
        try:
            self._send()
            self._close()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Drop an upload that must not become visible; fsspec would finalise it when the file is closed or collected."""
        if self._file is None:
            return
        if hasattr(self._file, "discard"):
            try:
                self._file.discard()
            except Exception:
                log.debug("an upload could not be aborted; the storage's own lifecycle rules remove it", exc_info=True)
        self._file.closed = True

    def _close(self) -> None:
        try:
            self._file.close()
        except Exception as error:
            raise storage_failed(self._url, error) from error

    def _send(self) -> None:
        try:
            if self._file is None:
                self._file = self._start()
            self._file.write(bytes(self._kept))
        except Exception as error:
            raise storage_failed(self._url, error) from error
        self._kept.clear()
