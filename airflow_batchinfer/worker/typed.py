"""Rows with their types kept, as Parquet needs them: an Arrow stream where this interpreter has pyarrow, and else JSON.

The JSON is a list of columns; what their values are stands in the schema beside it, and the node makes Arrow of both.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from functools import lru_cache
from importlib import import_module
from typing import Any, Dict, Iterable, List, Optional, Tuple

from .columns import Columns, cells, is_missing, own_value
from .kinds import NUMBERS, Differs, Kind, Unwritable, arrow_type, joined, kind_of, told
from .rows import BadResult, Rows

_OF_PYTHON = ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"), (date, "date"))
# Of these all values are looked at at once.
_OF_TYPE = {bool: "bool", int: "int64", float: "float64", str: "string", date: "date"}
# What only Arrow may know a type for.
_OTHER = "values of type "
_DECIMAL = f"{_OTHER}Decimal"


@lru_cache(maxsize=1)
def arrow() -> Any:
    """pyarrow, or None."""
    try:
        return import_module("pyarrow")
    except Exception:
        return None  # not there, or not for the numpy that is


def rows_of(columns: Columns, known: Dict[str, str]) -> Rows:
    """The rows and their schema; of some columns the kind is known, whatever their values are."""
    found, schema = [], []
    for name, values in zip(columns.names, columns.values):
        try:
            kind, column = (_arrow_column if arrow() else _json_column)(values, known.get(name))
        except Exception as error:
            raise BadResult(f"the column {name!r} cannot be written as Parquet: {error}") from error
        found.append(column)
        schema.append([name, kind])
    if not columns.names:
        return Rows(columns.rows, b"")
    text = _stream(found, columns.names) if arrow() else json.dumps(found).encode()
    return Rows(columns.rows, text, schema=schema, named=columns.named)


def _stream(columns: List[Any], names: List[str]) -> bytes:
    table = arrow().Table.from_arrays(columns, names=names)
    sink = arrow().BufferOutputStream()
    with arrow().ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _arrow_column(values: Any, known: Kind) -> Tuple[Kind, Any]:
    objects = _objects(values)
    kind: Kind = known or (None if objects is None else _kind_of_all(objects))
    given = _readable(values) if known == "string" else values if objects is None else objects
    if kind is None or _OTHER in str(kind):
        found = arrow().array(given, from_pandas=True)
        kind = kind_of(found.type)
    else:
        found = arrow().array(given, arrow_type(kind), from_pandas=True)
    if found.null_count == len(found):
        return known, arrow().nulls(len(found), arrow_type(known))
    # Of timestamps that are objects Arrow drops the nanoseconds without a word; of others the cast does not.
    if "timestamp" in str(kind) and any(getattr(value, "nanosecond", 0) > 0 for value in objects or ()):
        raise Unwritable("a timestamp has nanoseconds, which many readers of Parquet do not know; round it to microseconds")
    return kind, found.cast(arrow_type(kind))


def _readable(paths: List[Any]) -> List[Any]:
    """What is no Unicode in the name of a file, escaped: Parquet's text is Unicode."""
    return [path if path is None else path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for path in paths]


def _objects(values: Any) -> Optional[List[Any]]:
    """The values, where they are not all of one type of numpy's or pandas'."""
    if isinstance(values, list):
        return values
    return (
        list(map(own_value, values))
        if "object" in (str(values.dtype), str(getattr(getattr(values.dtype, "categories", None), "dtype", "")))
        else None
    )


def _json_column(values: Any, known: Kind) -> Tuple[Kind, List[Any]]:
    dtype = str(getattr(values, "dtype", ""))
    kind = known or (dtype if dtype in NUMBERS else _kind_of_all(values if isinstance(values, list) else values.tolist()))
    if _OTHER in str(kind):
        raise Unwritable(f"it holds {told(kind)}; return numbers, text, dates or timestamps, or install pyarrow for the script")
    if kind == "float64" and isinstance(values, list):
        values = [float(value) if hasattr(value, "dtype") else value for value in values]  # with all digits of a float32
    plain = cells(_readable(values) if known == "string" else values)
    return (known if all(value is None for value in plain) else kind), plain


def _kind_of_all(values: Iterable[Any]) -> Kind:
    """What values have in common; a whole number among others is such another."""
    kinds: Dict[str, Kind] = {}
    plain = {of for of in set(map(type, values)) if of is not type(None)}
    if len(plain) == 1 and (same := _OF_TYPE.get(plain.pop())):
        return same if same != "float64" or not all(value is None or value != value for value in values) else None  # noqa: PLR0124 - only NaN is not itself
    for value in values:
        kind = _kind_of_one(value)
        kinds.setdefault(str(kind), kind)
    if _DECIMAL in kinds:
        kinds.pop("int64", None)
    found: Kind = None
    for kind in kinds.values():
        try:
            found = joined(found, kind, widens=True)
        except Differs:
            raise Unwritable(f"it holds {told(found)} and {told(kind)}; make them one") from None
    return found


def _kind_of_one(value: Any) -> Kind:
    if value is None or is_missing(value):
        return None
    dtype = str(getattr(value, "dtype", ""))
    if isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) > 0:
        return ["list", dtype if dtype in NUMBERS else _kind_of_all(value)]
    if isinstance(value, dict):
        if other := [name for name in value if not isinstance(name, str)]:
            raise Unwritable(f"it holds a dict with the key {other[0]!r}, which is no text; make all keys text")
        return ["struct", [[name, _kind_of_one(each)] for name, each in value.items()]]
    if isinstance(value, datetime):
        return "timestamp UTC" if value.tzinfo else "timestamp"
    plain = dtype if dtype in NUMBERS else next((kind for of, kind in _OF_PYTHON if isinstance(value, of)), None)
    return plain or f"{_OTHER}{type(value).__name__}"
