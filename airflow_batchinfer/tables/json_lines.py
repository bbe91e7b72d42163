"""Cuts files with one JSON object in each line, and settles their columns: the keys, in the order in which they first come.

Python's own parser looks at every line. pyarrow's is faster, but takes large integers for floats, and text that is no JSON object
can make it end the process.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from airflow_batchinfer.datasets import Item, TableForm
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.chunks import Chunk, find_lines, read_chunks, within
from airflow_batchinfer.tables.pieces import ByKey, BySize, Values
from airflow_batchinfer.tables.slices import Slice, Window
from airflow_batchinfer.tables.streams import is_gzip, opened

Record = dict[str, Any]

_MARK = "\ufeff".encode()
_MOST_TOLD = 80
_BETWEEN = uuid4().hex[:8]
_INT64 = range(-(2**63), 2**63)
_FLOAT64 = range(-(10**308), 10**308)


class JsonLinesCutter:
    """See `tables.cutting.Cutter`."""

    def __init__(self, form: TableForm, most_bytes: int | None, keys: tuple[str, ...]) -> None:
        self._form = form
        self._most_bytes = most_bytes
        self._keys = keys
        self._has_rows = False
        self._kinds: dict[str, set[type]] = {}

    def cut(self, item: Item, window: Window) -> Iterator[tuple[Values, Slice]]:
        """The slices of a file, each with the values of the key columns."""
        by_key = ByKey(item.path, self._keys) if self._keys else None
        by_size = BySize(None if is_gzip(item.path) else self._most_bytes)
        for chunk, first_line in _chunks(item, window):
            text = self._decoded(item.path, chunk)
            records = _records(item.path, text, chunk.rows, first_line)
            self._look(records, text)
            pieces = by_key.cut(chunk, self._key_values(records)) if by_key else by_size.cut(chunk)
            yield from ((piece.values, Slice(*item, piece.start, piece.stop, piece.first, piece.rows)) for piece in pieces)
        for piece in (by_key or by_size).rest():
            yield piece.values, Slice(*item, piece.start, piece.stop, piece.first, piece.rows)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and types, when every file has been cut."""
        declared = dict(self._form.types)
        asked = [("types", name) for name in declared] + [("partition_keys", name) for name in self._keys]
        if self._has_rows and (missing := [(what, name) for what, name in asked if name not in self._kinds]):
            there = ", ".join(self._kinds) or "none"
            raise ConfigError([f"{what}: the table has no column {name!r}; there are {there}" for what, name in missing])
        return tuple((name, declared.get(name, settled(kinds))) for name, kinds in self._kinds.items())

    def close(self) -> None:
        """Nothing is held."""

    def _look(self, records: list[Record], text: str) -> None:
        """Note which kinds of values each column holds."""
        found: dict[str, set[type]] = {}
        for record in records:
            for name, value in record.items():
                try:
                    found[name].add(type(value))
                except KeyError:
                    found[name] = {type(value)}
        for name in self._kinds.keys() - found.keys() if records else ():
            self._kinds[name].add(type(None))
        is_regular = sum(map(len, records)) == len(found) * len(records)
        may_hold_surrogates = "\\ud" in text or "\\uD" in text
        for name, kinds in found.items():
            known = self._kinds.setdefault(name, {type(None)} if self._has_rows else set())
            known |= kinds
            if not is_regular and not all(name in record for record in records):
                known.add(type(None))
            if int in kinds:
                values = (record.get(name) for record in records)
                known |= {_beyond(value) for value in values if type(value) is int and value not in _INT64}
            if str in kinds and may_hold_surrogates and not all(_can_be_written(record.get(name)) for record in records):
                known.add(object)
        self._has_rows |= bool(records)

    def _decoded(self, path: str, chunk: Chunk) -> str:
        try:
            return chunk.text.decode("ascii" if chunk.text.isascii() else self._form.encoding)
        except UnicodeDecodeError as error:
            wrong = chunk.text[error.start : error.start + 4]
            where = f"{path} is not in {self._form.encoding}: at byte {chunk.offset + error.start:,} stands {wrong!r} ({error.reason})"
            raise ConfigError(f"{where}; give the encoding in which it was written, such as encoding='cp1252'") from error

    def _key_values(self, records: list[Record]) -> list[list[str]]:
        return [[_as_text(record.get(name)) for record in records] for name in self._keys]


class Long(int):
    """The kind of an integer that needs more than 64 bits; one that is beyond floats, too, is of the kind `object`."""


def settled(kinds: set[type]) -> str:
    """The type of a column that holds values of these kinds. What has no type of its own is an object, as JSON has it."""
    present, has_gaps = kinds - {type(None)}, type(None) in kinds
    if present == {int}:
        return "float64" if has_gaps else "int64"
    if present == {float} or (float in present and present <= {int, float, Long}):
        return "float64"
    if present == {bool} and not has_gaps:
        return "bool"
    return "str" if present == {str} else "object"


def _chunks(item: Item, window: Window) -> Iterator[tuple[Chunk, int]]:
    """What the window leaves of a file, in chunks of whole lines, and the number of the first line of each."""
    above = 1
    with opened(item) as stream:
        for whole in read_chunks(stream, item.path, _MARK, 0, lambda text, _, is_last: find_lines(text, is_last=is_last)):
            chunk = within(whole, window)
            if len(chunk.ends):
                yield chunk, above + int((whole.ends + whole.offset <= chunk.offset).sum())
            if window.take == 0:
                return
            above += len(whole.ends)


def _records(path: str, text: str, rows: int, first_line: int) -> list[Record]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    filled = [line for line in lines if line.strip(" \t")]
    try:
        # All at once, a word that no line knows between them. A line that leaves an array open has it in there, and neither
        # an object nor, for the line break, text goes on after it.
        found = json.loads("[" + f'\n,"{_BETWEEN}",'.join(filled) + "]")
        records: list[Record] = found[::2]
        if len(found) == 2 * rows - 1 and found.count(_BETWEEN) == rows - 1 and set(map(type, records)) <= {dict}:
            return records
    except (ValueError, RecursionError):  # which line it is, the same line by line tells
        pass
    return [_record(path, line, first_line + number) for number, line in enumerate(lines) if line.strip(" \t")]


def _record(path: str, line: str, number: int) -> Record:
    told = f"{line[:_MOST_TOLD]!r}{'...' if len(line) > _MOST_TOLD else ''}"
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: line {number:,} is not JSON: {told} ({error}); each line must be one JSON object") from error
    if not isinstance(record, dict):
        raise ConfigError(f"{path}: line {number:,} is no JSON object: {told}; each line must be one")
    return record


def _beyond(value: int) -> type:
    return Long if value in _FLOAT64 else object


def _can_be_written(value: object) -> bool:
    """Half of a surrogate pair is no text."""
    try:
        return not isinstance(value, str) or value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def _as_text(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
