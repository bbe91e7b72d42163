"""Rows with their types kept, as Parquet needs them: an Arrow stream where this interpreter has pyarrow, and else JSON.

The JSON is a list of columns; what their values are stands in the schema beside it, and the node makes Arrow of both.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from functools import lru_cache
from importlib import import_module
from typing import Any, Dict, Iterable, List, Tuple

from .columns import Columns, cells, is_missing
from .kinds import NUMBERS, Differs, Kind, Unwritable, arrow_type, joined, kind_of, told
from .rows import BadResult, Rows

_OF_PYTHON = ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"), (date, "date"))


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
    if not columns.rows:
        return Rows(0, b"", schema=schema or None)
    return Rows(columns.rows, _stream(found, columns.names) if arrow() else json.dumps(found).encode(), schema=schema)


def _stream(columns: List[Any], names: List[str]) -> bytes:
    table = arrow().Table.from_arrays(columns, names=names)
    sink = arrow().BufferOutputStream()
    with arrow().ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _arrow_column(values: Any, known: Kind) -> Tuple[Kind, Any]:
    found = arrow().array(_readable(values) if known == "string" else values, from_pandas=True)
    if found.null_count == len(found):
        return known, arrow().nulls(len(found), arrow_type(known))
    kind = known or kind_of(found.type)
    # Of timestamps that are objects Arrow drops the nanoseconds without a word; of others the cast does not.
    if "timestamp" in str(kind) and any(getattr(value, "nanosecond", 0) > 0 for value in _objects(values)):
        raise Unwritable("a timestamp has nanoseconds, which many readers of Parquet do not know; round it to microseconds")
    return kind, found.cast(arrow_type(kind))


def _readable(paths: List[Any]) -> List[Any]:
    """What is no Unicode in the name of a file, escaped: Parquet's text is Unicode."""
    return [path if path is None else path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for path in paths]


def _objects(values: Any) -> Iterable[Any]:
    return values if isinstance(values, list) or values.dtype == object else ()


def _json_column(values: Any, known: Kind) -> Tuple[Kind, List[Any]]:
    dtype = str(getattr(values, "dtype", ""))
    kind = known or (dtype if dtype in NUMBERS else _kind_of_all(values if isinstance(values, list) else values.tolist()))
    plain = cells(_readable(values) if known == "string" else values)
    return (known if all(value is None for value in plain) else kind), plain


def _kind_of_all(values: Iterable[Any]) -> Kind:
    """What values have in common; a whole number among others is such another."""
    kinds = [_kind_of_one(value) for value in values]
    if "float64" in kinds:
        kinds = ["float64" if kind == "int64" else kind for kind in kinds]
    found: Kind = None
    for kind in kinds:
        try:
            found = joined(found, kind)
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
        return ["struct", [[str(name), _kind_of_one(each)] for name, each in value.items()]]
    if isinstance(value, datetime):
        return "timestamp UTC" if value.tzinfo else "timestamp"
    plain = dtype if dtype in NUMBERS else next((kind for of, kind in _OF_PYTHON if isinstance(value, of)), None)
    if plain is None:
        raise Unwritable(f"it holds a {type(value).__name__}; return numbers, text, dates or timestamps, or install pyarrow for the script")
    return plain
