"""A file's content, from any storage: as one stream of bytes, unpacked where the file is gzipped, or in ranges.

What goes wrong becomes an error in our words that names the file.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, cast

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.errors import ConfigError, NotFoundError, StorageError
from airflow_batchinfer.storage import insist, is_local, local_path, open_file_system

REQUEST_BYTES = 8 << 20
# What a reader of Parquet asks for first, and mostly nothing else.
TAIL_BYTES = 64 << 10


def is_gzip(path: str) -> bool:
    """Whether a file is told by its name to be packed: then it can only be read from its start."""
    return path.lower().endswith(".gz")


@contextmanager
def opened(item: Item) -> Iterator[BinaryIO]:
    """The content of a file."""
    with _faults_told(item), ExitStack() as stack:
        stream: BinaryIO = stack.enter_context(local_path(item.path).open("rb") if is_local(item.path) else _RemoteFile(item))
        yield cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=stream))) if is_gzip(item.path) else stream


@contextmanager
def opened_anywhere(item: Item) -> Iterator[BinaryIO]:
    """A file as it lies there, to be read from any place."""
    with _faults_told(item), local_path(item.path).open("rb") if is_local(item.path) else _RemoteFile(item, TAIL_BYTES) as stream:
        yield stream


def range_reader(item: Item) -> Callable[[int, int], bytes]:
    """What reads the bytes of a file from one offset to another; from several threads at once, too."""
    fs, path = open_file_system(item.path, use_listings_cache=False)

    def read(start: int, stop: int) -> bytes:
        with _faults_told(item):
            return cast("bytes", insist(lambda: fs.cat_file(path, start=start, end=min(stop, item.size)), item.path))

    return read


@contextmanager
def _faults_told(item: Item) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{item.path} does not exist any more; plan again") from error
    except PermissionError as error:
        raise ConfigError(f"{item.path} cannot be read: {error.strerror or error}; give its reader the right to") from error
    except EOFError as error:
        raise ConfigError(f"{item.path} is truncated: it ends in the middle of its gzip data; upload it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ConfigError(
            f"{item.path} is no sound gzip file: {error}; upload it again, or name it without .gz if it is not packed"
        ) from error
    except OSError as error:
        raise StorageError(f"{item.path} cannot be read: {error}") from error


class _RemoteFile(io.BufferedReader):
    """A remote file as a stream, read by requests for ranges, each of which can be asked again."""

    def __init__(self, item: Item, request_bytes: int = REQUEST_BYTES) -> None:
        super().__init__(_Ranges(item), request_bytes)


class _Ranges(io.RawIOBase):
    def __init__(self, item: Item) -> None:
        self._read = range_reader(item)
        self._size = item.size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - what io gives it
        if self._at >= self._size:
            return 0
        piece = self._read(self._at, self._at + len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
