"""Where the records of CSV text end, as pandas' C parser has it: numpy over the bytes, and no look at any value.

A quote opens a quoted value only where a value begins; in there it is doubled to mean itself, and a line break is text. After
the closing quote, up to the next separator, quotes are text. Nothing here knows columns; text always begins where a record does.
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.chunks import Chunk, line_ends, read_chunks, whole_records

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airflow_batchinfer.tables.chunks import Flags, Offsets

_MOST_AT_ONCE = 8 << 20  # quotes, each of which takes some 20 bytes
_LF, _CR, _QUOTE = b'\n\r"'


def read_records(stream: BinaryIO, path: str, separator: bytes, mark: bytes, first: int) -> Iterator[Chunk]:
    """A CSV file in chunks, as `read_chunks` has them."""

    def find(text: bytes, offset: int, is_last: bool) -> "tuple[Offsets, Flags]":  # noqa: FBT001 - see Find
        ends, filled = find_records(text, separator, is_last=is_last)
        if (lost := _lost_separator(text, ends[~filled], b"\r" + separator)) is not None:
            told = f"{path}: the record at byte {offset + lost:,} begins with a separator, which pandas would lose"
            raise ConfigError(f"{told}, since the line above it is empty and ends in a CR alone; convert the file's line ends to LF")
        return ends, filled

    return read_chunks(stream, path, mark, first, find)


def _lost_separator(text: bytes, ends_of_empty: "Offsets", pattern: bytes) -> int | None:
    """Where an empty line ends in a CR alone and a separator follows: pandas 3.1 passes over it, and so over a value."""
    found = (int(end) for end in (ends_of_empty if pattern in text else ()) if text.startswith(pattern, end - 1))
    return next(found, None)


def find_records(text: bytes, separator: bytes, *, is_last: bool) -> "tuple[Offsets, Flags]":
    """The ends of all records, and which are rows: no quoted line break ends one."""
    import numpy as np

    array = np.frombuffer(text, np.uint8)
    ends = line_ends(array, text, is_last=is_last)
    if b'"' in text:
        ends = ends[np.searchsorted(_quotes(array, text, separator), ends) % 2 == 0]
    return whole_records(array, text, ends, separator, is_last=is_last)


def _quotes(array: "NDArray[np.uint8]", text: bytes, separator: bytes) -> "Offsets":
    """Where quoted values open and close, in turn; a doubled quote may count as closing and opening one."""
    import numpy as np

    if text.count(b'"') <= _MOST_AT_ONCE:
        quotes = np.flatnonzero(array == _QUOTE)
        beside = np.zeros(256, bool)
        beside[[_LF, _CR, _QUOTE, separator[0]]] = True
        before = array[quotes[::2][quotes[::2] > 0] - 1]
        after = quotes[1::2] + 1
        if beside[before].all() and beside[array[after[after < len(text)]]].all():
            return quotes
    quoted = re.compile(rb'"(?<![^%b\r\n]")(?:[^"]++|"")*+"?' % re.escape(separator))
    return np.fromiter(chain.from_iterable(each.span() for each in quoted.finditer(text)), np.int64)
