"""Where the records of CSV text end, as pandas' C parser has it: numpy over the bytes, and no look at any value.

A quote opens a quoted value only where a value begins; in there it is doubled to mean itself, and a line break is text. After
the closing quote, up to the next separator, quotes are text. LF, CRLF and a CR alone end a record; lines with nothing but
blanks are none. Nothing here reads files or knows columns; text always begins where a record does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from airflow_batchinfer.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Offsets = NDArray[np.int64]
    Flags = NDArray[np.bool_]

CHUNK_BYTES = 4 << 20
MOST_RECORD_BYTES = 64 << 20
_MOST_AT_ONCE = 8 << 20  # quotes, each of which takes some 20 bytes
_LF, _CR, _QUOTE, _SPACE, _TAB = b'\n\r" \t'


@dataclass(frozen=True)
class Chunk:
    """Consecutive whole records: `ends` are behind each of them, counted from the chunk's start; those not `filled` are blank lines."""

    offset: int
    first: int
    text: bytes
    ends: "Offsets"
    filled: "Flags"

    @property
    def rows(self) -> int:
        """How many records are rows."""
        return int(self.filled.sum())

    def start_of(self, record: int) -> int:
        """Where a record begins, counted from the chunk's start."""
        return int(self.ends[record - 1]) if record else 0

    def part(self, start: int, stop: int) -> "Chunk":
        """The records from `start` to `stop`."""
        low, high = self.start_of(start), self.start_of(stop)
        first = self.first + int(self.filled[:start].sum())
        return Chunk(self.offset + low, first, self.text[low:high], self.ends[start:stop] - low, self.filled[start:stop])


def read_chunks(stream: BinaryIO, path: str, separator: bytes, mark: bytes, first: int, *, multi_line: bool = True) -> Iterator[Chunk]:
    """A file in chunks of about CHUNK_BYTES. `mark` is the byte order mark that may stand at its start, `first` the first row's number."""
    text = stream.read(len(mark))
    offset = len(mark) if mark and text == mark else 0
    text, ask = text[offset:], CHUNK_BYTES
    while True:
        more = stream.read(ask)
        text += more
        is_last = len(more) < ask
        ends, filled = find_records(text, separator, is_last=is_last, multi_line=multi_line)
        if len(ends):
            if (lost := _lost_separator(text, ends[~filled], b"\r" + separator)) is not None:
                told = f"{path}: the record at byte {offset + lost:,} begins with a separator, which pandas would lose"
                raise ConfigError(f"{told}, since the line above it is empty and ends in a CR alone; convert the file's line ends to LF")
            chunk = Chunk(offset, first, text[: ends[-1]], ends, filled)
            offset, first, text, ask = offset + len(chunk.text), first + chunk.rows, text[ends[-1] :], CHUNK_BYTES
            yield chunk
        elif len(text) >= MOST_RECORD_BYTES:
            raise too_long(path, offset)
        else:
            ask = max(CHUNK_BYTES, len(text))  # so that a long record is not searched again and again
        if is_last:
            return


def _lost_separator(text: bytes, ends_of_empty: "Offsets", pattern: bytes) -> int | None:
    """Where an empty line ends in a CR alone and a separator follows: pandas 3.1 passes over it, and so over a value."""
    found = (int(end) for end in (ends_of_empty if pattern in text else ()) if text.startswith(pattern, end - 1))
    return next(found, None)


def too_long(path: str, offset: int) -> ConfigError:
    """What is told of a record that memory should not have to hold."""
    told = f"{path}: the record at byte {offset:,} does not end within {MOST_RECORD_BYTES:,} bytes"
    return ConfigError(f"{told}; close its quote, if that is what keeps it open, or leave the file out")


def find_records(text: bytes, separator: bytes, *, is_last: bool, multi_line: bool = True) -> "tuple[Offsets, Flags]":
    """The ends of all records, and which are rows. What follows the last end is a record only if the text is the last of its file.

    Without `multi_line` every line break ends a record, also a quoted one.
    """
    import numpy as np

    array = np.frombuffer(text, np.uint8)
    ends = _line_ends(array, text, is_last=is_last)
    if multi_line and b'"' in text:
        ends = ends[np.searchsorted(_quotes(array, text, separator), ends) % 2 == 0]
    if is_last and len(text) > (ends[-1] if len(ends) else 0):
        ends = np.append(ends, len(text))
    return ends, _filled(array, ends, separator)


def _line_ends(array: "NDArray[np.uint8]", text: bytes, *, is_last: bool) -> "Offsets":
    """Behind every line break, quoted or not. A CR that ends the text may be half a line break."""
    import numpy as np

    ends = np.flatnonzero(array == _LF) + 1
    if b"\r" not in text:
        return ends
    behind = np.flatnonzero(array == _CR) + 1
    inner = behind[:-1] if behind[-1] == len(text) else behind
    alone = inner[array[inner] != _LF]
    if is_last and len(inner) < len(behind):
        alone = np.append(alone, len(text))
    return np.union1d(ends, alone) if len(alone) else ends


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


def _filled(array: "NDArray[np.uint8]", ends: "Offsets", separator: bytes) -> "Flags":
    """Which records hold more than blanks."""
    import numpy as np

    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    kinds = np.zeros(256, np.uint8)
    kinds[[_LF, _CR]] = 1
    kinds[[blank for blank in (_SPACE, _TAB) if blank != separator[0]]] = 2
    begins = kinds[array[starts]]
    filled: Flags = begins == 0
    if (begins == 2).any():  # noqa: PLR2004 - see above
        doubtful = np.flatnonzero(begins == 2)  # noqa: PLR2004 - see above
        solid = np.append(np.flatnonzero(kinds[array] != 2), len(array))  # noqa: PLR2004 - see above
        found = solid[np.searchsorted(solid, starts[doubtful])]
        filled[doubtful] = (found < ends[doubtful]) & (kinds[array[np.minimum(found, len(array) - 1)]] == 0)
    return filled
