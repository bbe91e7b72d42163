"""What a zip or tar file holds, member by member, and the guards without which a hostile one cannot even be listed.

Nothing here writes, nor judges what a member is called or how much there is: that is `archives`. Python's own readers
believe what a header says about the size of the next one, go backwards where it tells them to, keep every member, and
take a tar file that breaks off between two members for a whole one. So they read through a `_Forward` or a `_Guarded`.
"""

import gzip
import io
import posixpath
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import IO, BinaryIO, cast

from airflow_batchinfer.registry.member_names import shown

PIECE_BYTES = 1 << 20
# Of one tar member: long names need a fraction of it, and what tarfile makes of it grows with its square.
MOST_HEADER_BYTES = 16 << 10
MOST_GLOBAL_HEADERS = 64
# Of a zip file: 100,000 members with long names.
MOST_DIRECTORY_BYTES = 16 << 20
MOST_LINK_BYTES = 4096
MOST_REASON_CHARACTERS = 200
_GZIP_MAGIC = b"\x1f\x8b"
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1
# Only these two are unpacked in pieces; of the others, one piece can become gigabytes.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")


class BrokenArchiveError(Exception):
    """It cannot be read, or not safely; says why."""


class Kind(Enum):
    """What a member is."""

    FILE = auto()
    FOLDER = auto()
    LINK = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Member:
    """One member, as the archive tells it. A link's target counts from the archive's top.

    It can be opened only before the next member is asked for.
    """

    name: str
    kind: Kind
    size_bytes: int
    open: Callable[[], AbstractContextManager[BinaryIO]]
    target: str = ""
    fault: str | None = None


def members_of(file: BinaryIO, name: str, most_bytes: int) -> Iterator[Member]:
    """The members of an archive, by the end of its name; BrokenArchiveError where it turns out to be none."""
    found = _zip_members(file) if name.lower().endswith(".zip") else _tar_members(file, most_bytes)
    with reading():
        yield from found


@contextmanager
def reading() -> Iterator[None]:
    """Tell what Python's readers raise as BrokenArchiveError: a hostile header makes them raise nearly anything."""
    try:
        yield
    except (BrokenArchiveError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk, not the archive
        reason = (str(error) or type(error).__name__)[:MOST_REASON_CHARACTERS]
        raise BrokenArchiveError(f"it is corrupt, cut off, or no such archive at all ({reason})") from error


# zip


class _Guarded:
    """A zip file that gives nobody more than a sensible directory at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > MOST_DIRECTORY_BYTES:
            raise BrokenArchiveError(f"its directory says that it has {size:,} bytes, and {MOST_DIRECTORY_BYTES:,} are the most")
        return self._file.read(size if size >= 0 else MOST_DIRECTORY_BYTES)

    def close(self) -> None:
        """Whoever opened it closes it."""


def _zip_members(file: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(cast("IO[bytes]", _Guarded(file))) as archive:
        infos = archive.infolist()
        _require_apart(infos, archive.start_dir)
        for info in infos:
            yield _zip_member(archive, info)


def _require_apart(infos: list[zipfile.ZipInfo], end: int) -> None:
    """Raise if members share bytes: that is how a small zip file becomes petabytes."""
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        if info.header_offset < 0 or info.header_offset + _LOCAL_HEADER_BYTES + len(info.orig_filename) + info.compress_size > end:
            raise BrokenArchiveError(f"its member {shown(info.filename)} overlaps another")
        end = info.header_offset


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    # ZipInfo cuts a name at its first NUL, so that it looks harmless.
    name = info.orig_filename if "\0" in info.orig_filename else info.filename
    kind = _zip_kind(info)
    fault = None
    if info.flag_bits & _ENCRYPTED:
        fault = "is encrypted"
    elif info.compress_type not in _METHODS:
        fault = f"is compressed by method {info.compress_type}; only stored and deflated ones are read"
    elif kind is Kind.LINK and info.file_size > MOST_LINK_BYTES:
        fault = "is a link that leads too far"
    target = ""
    if kind is Kind.LINK and not fault:
        with reading():
            target = posixpath.join(posixpath.dirname(name), _start_of(archive, info).decode("utf-8", "surrogateescape"))
    return Member(name, kind, info.file_size, lambda: cast("AbstractContextManager[BinaryIO]", archive.open(info)), target, fault)


def _start_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as stream:
        return stream.read(MOST_LINK_BYTES)  # with no number it would unpack all there is, whatever size the member says


def _zip_kind(info: zipfile.ZipInfo) -> Kind:
    mode = info.external_attr >> 16  # of Unix; whoever packed elsewhere leaves it empty
    if stat.S_ISLNK(mode):
        return Kind.LINK
    if info.filename.endswith("/") or stat.S_ISDIR(mode):
        return Kind.FOLDER
    return Kind.FILE if stat.S_IFMT(mode) in (0, stat.S_IFREG) else Kind.OTHER


# tar


class _Forward:
    """A tar file that is only read onwards, in no more than there may be, and with headers of a sensible size."""

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._position = 0
        self._allowed_bytes = MOST_HEADER_BYTES
        self.last = b""

    def allow(self, size: int) -> None:
        """So much may be read from now on, beside what is skipped."""
        self._allowed_bytes = size

    def read(self, size: int) -> bytes:
        self._allowed_bytes -= size
        if size < 0 or self._allowed_bytes < 0:
            raise BrokenArchiveError(f"a member's header has more than {MOST_HEADER_BYTES:,} bytes; pack without extended attributes")
        self.last = self._read(size)
        return self.last

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or position < self._position:
            raise BrokenArchiveError("a member's header leads backwards")
        while self._position < position and self._read(min(PIECE_BYTES, position - self._position)):
            pass
        return self._position

    def drain(self) -> None:
        """Read what is left, so that its check sum is looked at."""
        while self._read(PIECE_BYTES):
            pass

    def _read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self._position += len(piece)
        if self._position > self._most_bytes:
            raise BrokenArchiveError(f"it unpacks to more than {self._most_bytes:,} bytes, the most for one of its size")
        return piece


def _tar_members(file: BinaryIO, most_bytes: int) -> Iterator[Member]:
    is_packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC  # on its way a file may lose its packing, and keep its name
    file.seek(0)
    stream = _Forward(cast("BinaryIO", gzip.GzipFile(fileobj=file)) if is_packed else file, most_bytes)
    with tarfile.TarFile(fileobj=cast("IO[bytes]", stream), mode="r", encoding="utf-8", errors="surrogateescape") as archive:
        while info := archive.next():
            archive.members.clear()  # type: ignore[attr-defined]  # typeshed lacks it; else they are all kept
            if len(archive.pax_headers) > MOST_GLOBAL_HEADERS:
                raise BrokenArchiveError(f"it has more than {MOST_GLOBAL_HEADERS} global headers")
            stream.allow(max(0, info.size) + tarfile.BLOCKSIZE)
            yield _tar_member(archive, info)
            stream.allow(MOST_HEADER_BYTES)
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise BrokenArchiveError("it is cut off: its end mark is missing")
        stream.drain()


def _tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    kind, target, fault = Kind.OTHER, "", None
    if info.isdir():
        kind = Kind.FOLDER
    elif info.issym():
        kind, target = Kind.LINK, posixpath.join(posixpath.dirname(info.name), info.linkname)
    elif info.islnk():
        kind, target = Kind.LINK, info.linkname
    elif info.isreg():
        kind = Kind.FILE
    if info.issparse():
        fault = "is a sparse file; pack it without --sparse"
    elif info.size < 0:
        raise BrokenArchiveError(f"its member {shown(info.name)} has a size below nothing")
    return Member(info.name, kind, info.size, lambda: cast("AbstractContextManager[BinaryIO]", archive.extractfile(info)), target, fault)
