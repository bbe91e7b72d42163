"""Cuts CSV files into slices and settles their columns, in one pass: records are found here, while threads of pandas look at the values.

Memory is that of a few chunks, however large a file is. Where slices end does not depend on the chunks.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_batchinfer.datasets import Item, TableForm
from airflow_batchinfer.tables.chunks import Chunk, within
from airflow_batchinfer.tables.csv_columns import CsvColumns
from airflow_batchinfer.tables.csv_ranges import CsvRanges
from airflow_batchinfer.tables.csv_records import read_records
from airflow_batchinfer.tables.csv_text import CsvText
from airflow_batchinfer.tables.pieces import ByKey, BySize, Piece, Values
from airflow_batchinfer.tables.slices import Slice, Window
from airflow_batchinfer.tables.streams import is_gzip, opened

if TYPE_CHECKING:
    from airflow_batchinfer.tables.column_types import Marks

THREADS = 2
_MOST_WAITING = THREADS + 1


class CsvCutter:
    """See `tables.cutting.Cutter`."""

    def __init__(self, form: TableForm, most_bytes: int | None, keys: tuple[str, ...]) -> None:
        self._form = form
        self._most_bytes = most_bytes
        self._keys = keys
        self._text = CsvText(form)
        self._columns = CsvColumns(form, self._text, keys)
        self._ranges = CsvRanges(self._text, self._columns)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="batchinfer-csv")
        self._waiting: deque[Future[list[Marks]]] = deque()

    def cut(self, item: Item, window: Window) -> Iterator[tuple[Values, Slice]]:
        """The slices of a file, each with the values of the key columns."""
        is_windowed = window.skip > 0 or window.take is not None
        if self._most_bytes is None or self._form.multi_line or is_windowed or is_gzip(item.path):
            for piece in self._pieces(item, window):
                yield piece.values, Slice(*item, piece.start, piece.stop, piece.first, piece.rows)
        else:
            for found in self._ranges.cut(item, self._most_bytes):
                yield (), found

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and types, when every file has been cut."""
        self._collect(0)
        return self._columns.settled

    def close(self) -> None:
        """Let go of the threads, whatever they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._ranges.close()

    def _pieces(self, item: Item, window: Window) -> Iterator[Piece]:
        by_key = ByKey(item.path, self._keys) if self._keys else None
        by_size = BySize(None if is_gzip(item.path) else self._most_bytes)
        for chunk in self._rows(item, window):
            if chunk.rows:
                self._collect(_MOST_WAITING - 1)
                self._waiting.append(self._pool.submit(self._text.marks, item.path, chunk, self._columns.marks))
            yield from by_key.cut(chunk, self._key_values(item.path, chunk)) if by_key else by_size.cut(chunk)
        yield from (by_key or by_size).rest()

    def _rows(self, item: Item, window: Window) -> Iterator[Chunk]:
        """The rows of a file that the window leaves, in chunks. It ends early where nothing more is taken."""
        text, met = self._text, False
        with opened(item) as stream:
            for whole in read_records(stream, item.path, text.separator, text.byte_order_mark, self._columns.number_of_first_record):
                if not met and not whole.rows:
                    continue
                chunk = within(whole if met else self._columns.meet(item.path, whole), window)
                met = True
                if len(chunk.ends):
                    yield chunk
                if window.take == 0:
                    return
        if not met:
            self._columns.meet_nothing(item.path)

    def _key_values(self, path: str, chunk: Chunk) -> list[list[str]]:
        names = self._columns.names
        return self._text.texts(path, chunk, len(names), [names.index(key) for key in self._keys])

    def _collect(self, left: int) -> None:
        """Take what the threads found, in the order of the rows, until only so many chunks are left to them."""
        while len(self._waiting) > left:
            self._columns.add(self._waiting.popleft().result())
