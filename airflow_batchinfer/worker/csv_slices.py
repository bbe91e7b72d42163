"""A slice of a CSV file as a DataFrame whose columns have the types that were declared, or settled for the table as a whole.

What each type means is told in `tables.column_types`, where they are settled. Rows that were counted were checked, too; where
nobody counted them (multi_line=False) they are checked here. Whether a value fits its type does not depend on other rows.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Callable, Dict, Iterator, List

from .slices import BadTable, Slice, as_times, read_bytes

# What pandas is asked to read a column as; where nothing stands here it finds out for itself: asked for integers or bools, it takes
# 1.0 for the one, and 1 for the other where all values are numbers.
_READ_AS = {"float64": "float64", "str": "str", "datetime": "str", "big_int": "str"}
_NOT_KEPT = "S1"  # of each value the first byte: hardly any work
_TOO_MANY = re.compile(r"in line (\d+), saw (\d+)")
_INTEGER = re.compile(r"[ \t]*[+-]?[0-9]+[ \t]*")
# What pandas takes for a missing value; where it does not, a column is not text but what it made of integers that do not go together.
_MISSING = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
_MISSING |= {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}


def read(pandas: Any, piece: Slice, table: Dict[str, Any]) -> Any:
    """The rows of a slice."""
    names, types, kept = table["names"], table["types"], table["columns"]
    wanted = names if kept is None else kept
    if missing := [name for name in wanted if name not in names]:
        raise BadTable(f"{piece.name} has no column {missing[0]!r}; it has {', '.join(names)}")
    text = _Text(pandas, piece, table)
    if piece.first is None:
        text.check_first_row()
    frame = text.frame({name: types[name] if name in wanted else _NOT_KEPT for name in names})
    if piece.first is not None and len(frame) != piece.rows:
        raise BadTable(f"{piece.name} holds {len(frame):,} rows where {piece.rows:,} were planned; score it again with a new plan")
    for name in wanted:
        if types[name] in _MADE_OF:
            frame[name] = text.made(name, types[name], frame[name])
    return frame if kept is None else frame[kept].copy()


class _Text:
    """The text of a slice, and how it is read."""

    def __init__(self, pandas: Any, piece: Slice, table: Dict[str, Any]) -> None:
        self.pandas = pandas
        self._piece = piece
        self._names = table["names"]
        self._separator = table["separator"]
        self._reads_text_unasked = int(pandas.__version__.partition(".")[0]) >= 3  # noqa: PLR2004 - said where it is used
        self._text = self._as_utf_8(read_bytes(piece), table["encoding"])

    def frame(self, types: Dict[str, str]) -> Any:
        """All columns, of these types.

        From 3.0 on, pandas reads text several times as fast if nobody asks for text. Where it then finds something else, we ask.
        """
        asked = {name: _READ_AS.get(kind, kind) for name, kind in types.items() if kind in (*_READ_AS, _NOT_KEPT)}
        unasked = [name for name, kind in asked.items() if kind == "str" and self._reads_text_unasked]
        try:
            frame = self.read(dtype={name: kind for name, kind in asked.items() if name not in unasked})
            if others := [name for name in unasked if not _is_text(frame[name])]:
                frame[others] = self.texts(others)
            return frame
        except self.pandas.errors.ParserError as error:
            raise BadTable(self._broken(str(error))) from error
        except UnicodeDecodeError as error:
            raise BadTable(self._not_decoded(self._text, error.encoding)) from error
        except (ValueError, OverflowError) as error:
            for name, kind in types.items():
                if kind == "float64":
                    self._check_values(name, kind)
            raise BadTable(f"{self._piece.row(0)} and those below cannot be read: {error}") from error

    def made(self, name: str, kind: str, column: Any) -> Any:
        """What a column of a type is made into, of what pandas can read it as."""
        try:
            return _MADE_OF[kind](self, name, column)
        except (ValueError, OverflowError) as error:
            self._check_values(name, kind)
            raise BadTable(f"{self._piece.row(0)} and those below, column {name!r}: {error}") from error

    def read(self, **options: Any) -> Any:
        """What pandas reads, with these options."""
        source = _Whole(self._text)
        return self.pandas.read_csv(source, sep=self._separator, header=None, low_memory=False, **{"names": self._names, **options})

    def texts(self, names: List[str], **options: Any) -> Any:
        """The text of some columns."""
        return self.read(dtype={name: "str" if name in names else _NOT_KEPT for name in self._names}, **options)[names]

    def check_first_row(self) -> None:
        """Of the first row pandas would take for an index what is too much; all others it checks itself."""
        try:
            width = self.read(names=None, nrows=1, dtype="str").shape[1]
        except (self.pandas.errors.EmptyDataError, self.pandas.errors.ParserError, UnicodeDecodeError):
            return  # which is told when all is read
        if width > len(self._names):
            raise BadTable(self._too_many(0, width))

    def _check_values(self, name: str, kind: str) -> None:
        """Raise what names the first value that does not fit: up to it and without it, all do."""
        values = self.texts([name])[name]
        fitting, not_fitting = 0, len(values)
        if self._fits(name, kind, not_fitting):
            return
        while not_fitting - fitting > 1:
            middle = (fitting + not_fitting) // 2
            fitting, not_fitting = (middle, not_fitting) if self._fits(name, kind, middle) else (fitting, middle)
        value = values.iloc[fitting]
        told = repr(value[:100]) if isinstance(value, str) else "a missing value"
        remedy = f"correct it, or declare another type for the column, such as types={{{name!r}: 'str'}}"
        raise BadTable(f"{self._piece.row(fitting)}, column {name!r}: {told} is no {kind.partition('_')[0]}; {remedy}")

    def _fits(self, name: str, kind: str, rows: int) -> bool:
        """Whether so many of the first values of a column fit."""
        asked = {other: _NOT_KEPT for other in self._names if other != name}
        try:
            column = self.read(nrows=rows, dtype={**asked, name: _READ_AS[kind]} if kind in _READ_AS else asked)[name]
            _MADE_OF[kind](self, name, column)
        except (ValueError, OverflowError):
            return False
        return True

    def _as_utf_8(self, text: bytes, encoding: str) -> bytes:
        """As UTF-8, which pandas decodes itself, and only what it must."""
        if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig") or text.isascii():
            return text
        try:
            return text.decode(encoding).encode()
        except UnicodeDecodeError as error:
            raise BadTable(self._not_decoded(text, encoding)) from error

    def _not_decoded(self, text: bytes, encoding: str) -> str:
        try:
            text.decode(encoding)
        except UnicodeDecodeError as error:
            above = text[: error.start].count(b"\n")
            return f"{self._piece.row(above)} or near it is not in {encoding}: {text[error.start : error.start + 4]!r} ({error.reason})"
        return f"{self._piece.row(0)} or one below it is not in {encoding}"

    def _broken(self, told: str) -> str:
        found = _TOO_MANY.search(told)
        if found:
            return self._too_many(int(found[1]) - 2, int(found[2]))
        remedy = "; where quoted values hold line breaks, leave multi_line at True" if "EOF inside string" in told else ""
        return f"{self._piece.row(0)} and those below cannot be read: {told.strip()}{remedy}"

    def _too_many(self, row: int, found: int) -> str:
        columns = len(self._names)
        return f"{self._piece.row(row)} has {found} values where there are {columns} columns; quote values that hold the separator"


class _Whole:
    """A file whose first read gives all of it, after an empty line; for why see `tables.csv_text`."""

    def __init__(self, text: bytes) -> None:
        self._text = b"\n" + text

    def read(self, _: int = -1) -> bytes:
        text, self._text = self._text, b""
        return text

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


def _is_text(column: Any) -> bool:
    """Whether a column is text with its gaps."""
    if str(column.dtype) != "str" or not len(column):
        return False
    first = column.iloc[0]
    return first != first or not (first in _MISSING or _INTEGER.fullmatch(first))  # noqa: PLR0124 - only NaN is not itself


def _integers(kind: str, _: _Text, __: str, column: Any) -> Any:
    """Of integers alone pandas makes int64, or where some are too large for that and none is negative, uint64."""
    if len(column) and column.dtype != kind and not (kind == "uint64" and column.dtype == "int64" and column.min() >= 0):
        raise ValueError(f"not all are {kind}")
    return column.astype(kind)


def _floats(text: _Text, name: str, column: Any) -> Any:
    """Where all values are True and False, pandas makes 1 and 0 of them; then the first that is there tells."""
    at = int(column.notna().to_numpy().argmax()) if len(column) else 0
    if column.iloc[at : at + 1].isin([0, 1]).any() and text.texts([name], nrows=at + 1)[name].iloc[at].lower() in ("true", "false"):
        raise ValueError("not all are numbers")
    return column


def _only_bools(_: _Text, __: str, column: Any) -> Any:
    if len(column) and column.dtype != bool:
        raise ValueError("not all are True or False")
    return column.astype(bool)


def _bools(_: _Text, __: str, column: Any) -> Any:
    if not all(isinstance(value, bool) for value in column.dropna().tolist()):
        raise ValueError("not all are True or False")
    return column.astype(object)


def _big_integers(text: _Text, _: str, column: Any) -> Any:
    if not column.dropna().map(lambda value: bool(_INTEGER.fullmatch(value))).all():
        raise ValueError("not all are integers")
    values = [value if is_missing else int(value) for value, is_missing in zip(column, column.isna())]
    return text.pandas.Series(values, dtype=object)


def _verbatim(text: _Text, name: str, _: Any) -> Any:
    return text.texts([name], keep_default_na=False)[name]


_MADE_OF: Dict[str, Callable[[_Text, str, Any], Any]] = {
    "int64": partial(_integers, "int64"),
    "uint64": partial(_integers, "uint64"),
    "int64_with_gaps": lambda _, __, column: column.astype("float64"),
    "float64": _floats,
    "bool": _only_bools,
    "bool_with_gaps": _bools,
    "big_int": _big_integers,
    "verbatim": _verbatim,
    "datetime": lambda text, _, column: as_times(text.pandas, column),
}
