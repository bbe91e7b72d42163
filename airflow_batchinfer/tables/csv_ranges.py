"""Cuts CSV files without reading them (multi_line=False): a look at their starts, and a short one at each place where they are cut.

That takes for granted that no record holds a line break, and that the first rows tell the types of all; a value that does not
fit fails its mini-batch when it is read. Rows are not counted: their numbers are estimates.
"""

import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.chunks import MOST_RECORD_BYTES, Chunk, find_lines, too_long
from airflow_batchinfer.tables.csv_columns import CsvColumns
from airflow_batchinfer.tables.csv_text import CsvText
from airflow_batchinfer.tables.slices import Slice
from airflow_batchinfer.tables.streams import range_reader

log = logging.getLogger(__name__)

SAMPLE_FILES = 10
SAMPLE_BYTES = 1 << 20
_LOOK_BYTES = 64 << 10
_THREADS = 8
_AT_ONCE = 1_000
_LINE_BREAK = re.compile(rb"\r\n?|\n")
_Read = Callable[[int, int], bytes]


class CsvRanges:
    """Slices of files that nobody reads."""

    def __init__(self, text: CsvText, columns: CsvColumns) -> None:
        self._text = text
        self._columns = columns
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="batchinfer-ranges")
        self._files = self._rows = self._bytes = 0

    def cut(self, item: Item, most_bytes: int) -> Iterator[Slice]:
        """The slices of a file."""
        read = range_reader(item)
        sample = self._sample(read, item)
        if not sample.rows:
            self._columns.meet_nothing(item.path)
            return
        sample = self._columns.meet(item.path, sample)
        if self._files < SAMPLE_FILES and sample.rows:
            self._learn(item.path, sample)
        start = sample.offset
        for stop in self._stops(read, item, start, most_bytes):
            if stop > start:
                yield Slice(*item, start, stop, None, max(1, (stop - start) * self._rows // max(1, self._bytes)))
                start = stop

    def close(self) -> None:
        """Let go of the threads, whatever they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _learn(self, path: str, sample: Chunk) -> None:
        self._columns.add(self._text.marks(path, sample, self._columns.marks))
        self._files += 1
        self._rows += sample.rows
        self._bytes += len(sample.text)
        if self._files == 1:
            log.info(
                "multi_line=False: %s and what follows is cut without being read; it is assumed that no record holds a line break, "
                "and that the first %d bytes of the first %d files show the types of all values",
                path,
                SAMPLE_BYTES,
                SAMPLE_FILES,
            )

    def _sample(self, read: _Read, item: Item) -> Chunk:
        """The first records of a file, at least one that is a row."""
        mark, size = self._text.byte_order_mark, SAMPLE_BYTES if self._files < SAMPLE_FILES else _LOOK_BYTES
        while True:
            text = read(0, size)
            offset = len(mark) if mark and text.startswith(mark) else 0
            ends, filled = find_lines(text[offset:], self._text.separator, is_last=len(text) == item.size)
            if filled.any() or size >= item.size:
                return Chunk(offset, self._columns.number_of_first_record, text[offset:][: ends[-1] if len(ends) else 0], ends, filled)
            if size >= MOST_RECORD_BYTES:
                raise too_long(item.path, offset)
            size *= 4

    def _stops(self, read: _Read, item: Item, start: int, most_bytes: int) -> Iterator[int]:
        """Behind the first line break from every so many bytes on; asked for by several threads, since each answer takes a while."""
        targets = iter(range(start + most_bytes, item.size, most_bytes))
        while some := list(islice(targets, _AT_ONCE)):
            yield from self._pool.map(partial(_line_end, read, item), some)
        yield item.size


def _line_end(read: _Read, item: Item, target: int) -> int:
    """Behind the line break that is the first to end at or behind the target."""
    at, size = target - 1, _LOOK_BYTES
    while at < item.size:
        piece = read(at, at + size)
        if not piece:
            raise ConfigError(f"{item.path} changed while it was cut: it ends at byte {at:,} and had {item.size:,} bytes; plan again")
        found = _LINE_BREAK.search(piece)
        if found and (found.end() < len(piece) or found[0] != b"\r" or at + len(piece) == item.size):
            return at + found.end()
        if at - target > MOST_RECORD_BYTES:
            raise too_long(item.path, target)
        at += found.start() if found else len(piece)
        size = min(size * 2, SAMPLE_BYTES)
    return item.size
