"""A text file in chunks of whole records, numpy over the bytes; what ends a record is for whoever reads it to say.

LF, CRLF and a CR alone end a line; lines with nothing but blanks are none. Nothing here knows columns.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.slices import Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Offsets = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    # Text at an offset of its file, and whether it is the last: the ends of its records, and which are rows.
    Find = Callable[[bytes, int, bool], tuple[Offsets, Flags]]

CHUNK_BYTES = 4 << 20
MOST_RECORD_BYTES = 64 << 20
_LF, _CR, _SPACE, _TAB = b"\n\r \t"


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


def read_chunks(stream: BinaryIO, path: str, mark: bytes, first: int, find: "Find") -> Iterator[Chunk]:
    """A file in chunks of about CHUNK_BYTES. `mark` is the byte order mark that may stand at its start, `first` the first row's number."""
    text = stream.read(len(mark))
    offset = len(mark) if mark and text == mark else 0
    text, ask = text[offset:], CHUNK_BYTES
    while True:
        more = stream.read(ask)
        text += more
        is_last = len(more) < ask
        ends, filled = find(text, offset, is_last)
        if len(ends):
            chunk = Chunk(offset, first, text[: ends[-1]], ends, filled)
            offset, first, text, ask = offset + len(chunk.text), first + chunk.rows, text[ends[-1] :], CHUNK_BYTES
            yield chunk
        elif len(text) >= MOST_RECORD_BYTES:
            raise too_long(path, offset)
        else:
            ask = max(CHUNK_BYTES, len(text))  # so that a long record is not searched again and again
        if is_last:
            return


def within(chunk: Chunk, window: Window) -> Chunk:
    """The part of a chunk that lies within the window, which is counted down."""
    import numpy as np

    skipped = min(window.skip, chunk.rows)
    taken = chunk.rows - skipped if window.take is None else min(window.take, chunk.rows - skipped)
    window.skip -= skipped
    window.take = None if window.take is None else window.take - taken
    if taken == chunk.rows:
        return chunk
    behind = np.flatnonzero(chunk.filled) + 1
    start = int(behind[skipped - 1]) if skipped else 0
    return chunk.part(start, int(behind[skipped + taken - 1]) if taken else start)


def too_long(path: str, offset: int) -> ConfigError:
    """What is told of a record that memory should not have to hold."""
    told = f"{path}: the record at byte {offset:,} does not end within {MOST_RECORD_BYTES:,} bytes"
    return ConfigError(f"{told}; close its quote, if that is what keeps it open, or leave the file out")


def find_lines(text: bytes, separator: bytes = b"\n", *, is_last: bool) -> "tuple[Offsets, Flags]":
    """Every line is a record; a blank that is the separator is none."""
    import numpy as np

    array = np.frombuffer(text, np.uint8)
    return whole_records(array, text, line_ends(array, text, is_last=is_last), separator, is_last=is_last)


def whole_records(array: "NDArray[np.uint8]", text: bytes, ends: "Offsets", separator: bytes, *, is_last: bool) -> "tuple[Offsets, Flags]":
    """The ends, and which are rows. What follows the last end is a record only if the text is the last of its file."""
    import numpy as np

    if is_last and len(text) > (ends[-1] if len(ends) else 0):
        ends = np.append(ends, len(text))
    return ends, _filled(array, ends, separator)


def line_ends(array: "NDArray[np.uint8]", text: bytes, *, is_last: bool) -> "Offsets":
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
