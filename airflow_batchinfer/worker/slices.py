"""A slice of a table as a worker gets it: where it lies, what it is called, and its bytes as they were planned."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import Any, BinaryIO, NamedTuple, Optional, cast


class BadTable(Exception):
    """A mini-batch that cannot be read."""

    what = "bad table"


class Slice(NamedTuple):
    """The cells of a slice in a mini-batch's line. `planned` is the file's name in the plan, where a part of it was fetched."""

    path: str
    size: Optional[int]
    version: Any
    start: int
    stop: int
    first: Optional[int]
    rows: int
    planned: str = ""
    problem: Optional[str] = None

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.planned or self.path

    def row(self, number: int) -> str:
        """What one of its rows is called."""
        if self.first is not None:
            return f"{self.name}: row {self.first + number:,}"
        where = "" if self.size is None else f", which begins at byte {self.start:,}"
        return f"{self.name}: row {number:,} of this slice{where}"

    def check(self) -> None:
        """Whether the file is still as it was planned."""
        if self.problem:
            raise BadTable(f"{self.name} {self.problem}")
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise BadTable(f"{self.name} cannot be read: {error.strerror}") from error
        if self.size is not None and (found.st_size != self.size or found.st_mtime_ns != self.version):
            raise BadTable(f"{self.name} changed since planned; score it again with a new plan")


def read_bytes(piece: Slice) -> bytes:
    """The bytes of a slice of a text file; of a gzip file, those of its unpacked text."""
    piece.check()
    is_packed = piece.path.lower().endswith(".gz")
    try:
        with cast("BinaryIO", gzip.open(piece.path)) if is_packed else open(piece.path, "rb") as stream:
            stream.seek(piece.start)
            return stream.read(piece.stop - piece.start)
    except (OSError, EOFError, zlib.error) as error:
        raise BadTable(f"{piece.name} cannot be read: {error}") from error


def as_times(pandas: Any, texts: Any) -> Any:
    """ISO 8601, in UTC and to the microsecond, so that the column is the same in every mini-batch; nothing finer is lost."""
    try:
        times = pandas.to_datetime(texts, format="ISO8601", utc=True)
    except ValueError:  # where one has nanoseconds, be they 0, another may be too far from now to have any
        texts = pandas.Series(texts, dtype=object).replace(r"(\.\d{6})0+(?!\d)", r"\1", regex=True)
        times = pandas.to_datetime(texts, format="ISO8601", utc=True)
    times = pandas.Series(times).dt.tz_localize(None)
    found = times.dt.as_unit("us")
    if (found != times)[times.notna()].any():
        raise ValueError("not all end at a microsecond")
    return found
