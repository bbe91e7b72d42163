"""CSV text of a chunk as pandas reads it, and what is wrong with it, told by file, row and byte."""

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_batchinfer.datasets import TableForm
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.chunks import Chunk
from airflow_batchinfer.tables.column_types import (
    FEW_BYTES,
    Marks,
    are_plain_integers,
    is_final,
    marks_of,
    may_be_integers,
    settled,
)

if TYPE_CHECKING:
    import pandas as pd

_FIRST_BYTE = "S1"  # a column read so costs next to nothing
_TOO_MANY = re.compile(r"in line (\d+), saw (\d+)")


class CsvText:
    """How the text of a table is written."""

    def __init__(self, form: TableForm) -> None:
        name = codecs.lookup(form.encoding).name
        self._encoding = "utf-8" if name == "utf-8-sig" else name
        self._separator = form.separator
        told = "if quoted values hold line breaks, leave multi_line at True"
        self._remedy = "close it, or quote the value and double its quotes" if form.multi_line else told
        self.separator = form.separator.encode()
        try:
            self.byte_order_mark = "\ufeff".encode(self._encoding)
        except UnicodeEncodeError:
            self.byte_order_mark = b""

    def names(self, path: str, header: Chunk) -> list[str]:
        """The columns that a header names, as pandas calls them: a name that stands there twice gets a number."""
        return list(map(str, self._checked(path, header, self._decoded(path, header), header=0, nrows=0).columns))

    def width(self, path: str, record: Chunk) -> int:
        """How many values a record has."""
        return self._checked(path, record, self._decoded(path, record), header=None).shape[1]

    def texts(self, path: str, chunk: Chunk, width: int, columns: Sequence[int]) -> list[list[str]]:
        """The values of some columns, as they stand there."""
        dtypes = {number: "str" if number in columns else _FIRST_BYTE for number in range(width)}
        frame = self._checked(path, chunk, self._decoded(path, chunk), header=None, names=range(width), dtype=dtypes, keep_default_na=False)
        return [frame[column].tolist() for column in columns]

    def marks(self, path: str, chunk: Chunk, known: Sequence[Marks]) -> list[Marks]:
        """What the values of each column are, where that is not known already: to look at text again would take most of the time."""
        self._check_width(path, chunk, len(known))
        columns, text = range(len(known)), self._decoded(path, chunk)
        with_gaps = [number for number in columns if settled(known[number]) == "int64_with_gaps"]
        cheap = dict.fromkeys(with_gaps, FEW_BYTES) | {number: _FIRST_BYTE for number in columns if is_final(known[number])}
        frame = self._checked(path, chunk, text, header=None, names=columns, dtype=cheap)
        if len(frame) != chunk.rows:
            where = f"between the bytes {chunk.offset:,} and {chunk.offset + len(chunk.text):,}"
            told = f"{path}: pandas reads {len(frame):,} rows {where}, where {chunk.rows:,} lines are"
            raise ConfigError(f"{told}; if quoted values hold line breaks, leave multi_line at True; else convert the line ends to LF")
        unclear = [number for number in with_gaps if not are_plain_integers(frame[number])]
        # With usecols, pandas wants a row that has them all; it is dropped again.
        again = partial(self._read, text + b"\n" + self.separator * (len(known) - 1), header=None, names=columns)
        if doubtful := unclear + [number for number in columns if may_be_integers(frame[number], known[number])]:
            integers = again(usecols=doubtful, dtype_backend="numpy_nullable").select_dtypes("Int64")
            frame[integers.columns] = integers
            if others := [number for number in unclear if number not in integers]:
                but_these = {number: _FIRST_BYTE for number in columns if number not in others}
                frame[others] = self._read(text, header=None, names=columns, dtype=but_these)[others]
        look_at = [number for number in columns if number not in cheap or number in unclear]
        found = {number: marks_of(frame[number], partial(_read_column, again, number)) for number in look_at}
        return [found.get(number, Marks.NONE) for number in columns]

    def _check_width(self, path: str, chunk: Chunk, width: int) -> None:
        """Of the first record: pandas would take its first values for an index. All others it checks itself."""
        first = int(chunk.filled.argmax())
        if (found := self.width(path, chunk.part(first, first + 1))) > width:
            raise ConfigError(_too_many(path, chunk, first, found, width))

    def _checked(self, path: str, chunk: Chunk, text: bytes, **options: Any) -> "pd.DataFrame":  # noqa: ANN401 - pandas' own
        from pandas.errors import ParserError

        try:
            return self._read(text, **options)
        except ParserError as error:
            if found := _TOO_MANY.search(str(error)):
                raise ConfigError(_too_many(path, chunk, int(found[1]) - 2, int(found[2]), len(options["names"]))) from error
            if "EOF inside string" in str(error):
                where = _told(path, chunk, len(chunk.ends) - 1)
                raise ConfigError(f"{where} has a quote that is never closed; {self._remedy}") from error
            raise ConfigError(f"{path}: the bytes from {chunk.offset:,} on cannot be read: {error}") from error

    def _decoded(self, path: str, chunk: Chunk) -> bytes:
        """The text as UTF-8."""
        if chunk.text.isascii():
            return chunk.text
        try:
            text = chunk.text.decode(self._encoding)
        except UnicodeDecodeError as error:
            wrong = chunk.text[error.start : error.start + 4]
            raise ConfigError(
                f"{path} is not in {self._encoding}: at byte {chunk.offset + error.start:,} stands {wrong!r} ({error.reason}); "
                "give the encoding in which it was written, such as encoding='cp1252'"
            ) from error
        return chunk.text if self._encoding == "utf-8" else text.encode()

    def _read(self, text: bytes, **options: Any) -> "pd.DataFrame":  # noqa: ANN401 - pandas' own
        import pandas as pd

        frame: pd.DataFrame = pd.read_csv(_Whole(text), sep=self._separator, low_memory=False, **options)  # type: ignore[call-overload]
        return frame


class _Whole:
    """A file whose first read gives all of it, after an empty line.

    pandas reads bytes as they are only from what is not one of io's classes. Where its buffer ends within the blanks that a
    record begins with, it loses them: so there is one buffer. The empty line keeps it from taking a record's first character
    for a byte order mark.
    """

    def __init__(self, text: bytes) -> None:
        self._text = b"\n" + text

    def read(self, _: int = -1) -> bytes:
        text, self._text = self._text, b""
        return text

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


def _read_column(again: "Callable[..., pd.DataFrame]", number: int, dtype: str) -> "pd.Series[Any]":
    return again(usecols=[number], dtype=dtype)[number]


def _too_many(path: str, chunk: Chunk, record: int, found: int, width: int) -> str:
    where = _told(path, chunk, record)
    return f"{where} has {found} values where there are {width} columns; quote values that hold the separator, or correct the row"


def _told(path: str, chunk: Chunk, record: int) -> str:
    row = chunk.first + int(chunk.filled[:record].sum())
    return f"{path}: {'the header' if row < 0 else f'row {row:,}'} (at byte {chunk.offset + chunk.start_of(record):,})"
