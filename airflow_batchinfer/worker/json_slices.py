"""A slice of a file with one JSON object in each line, as a DataFrame with the columns and types of the whole table.

What each type may hold is told in `tables.json_lines`, where they are settled. One that was declared may not fit, and then the
first value that does not is named. A key that a line does not have is as one that is null.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Set

from .slices import BadTable, Slice, as_times, read_bytes

_NONE = type(None)
# Of which kinds the values of a column of a type are; a column of text takes others as JSON writes them.
_KINDS: Dict[str, Set[type]] = {"int64": {int}, "float64": {int, float, _NONE}, "bool": {bool}, "datetime": {str, _NONE}}
_MOST_TOLD = 100


def read(pandas: Any, piece: Slice, table: Dict[str, Any]) -> Any:
    """The rows of a slice."""
    names, types = table["columns"] or table["names"], table["types"]
    records = _records(piece, table["encoding"])
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        try:
            columns[name] = _column(pandas, types[name], values)
        except (ValueError, OverflowError) as error:
            raise BadTable(_misfit(pandas, piece, name, types[name], values) or f"{piece.row(0)}, column {name!r}: {error}") from error
    return pandas.DataFrame(columns, index=pandas.RangeIndex(len(records)), columns=names)


def _records(piece: Slice, encoding: str) -> List[Dict[str, Any]]:
    text = read_bytes(piece)
    try:
        lines = text.decode(encoding).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        records: List[Dict[str, Any]] = json.loads("[" + ",".join([line for line in lines if line.strip(" \t")]) + "]")
    except (ValueError, RecursionError) as error:
        raise BadTable(f"{piece.row(0)} and those below cannot be read: {error}; score it again with a new plan") from error
    if len(records) != piece.rows:
        raise BadTable(f"{piece.name} holds {len(records):,} rows where {piece.rows:,} were planned; score it again with a new plan")
    return records


def _column(pandas: Any, kind: str, values: List[Any]) -> Any:
    if kind == "object":
        return pandas.Series(values, dtype=object)
    if kind in _KINDS and not set(map(type, values)) <= _KINDS[kind]:
        raise ValueError(f"not all are {kind}")
    if kind == "str":
        return _text(pandas, [value if value is None or isinstance(value, str) else json.dumps(value) for value in values])
    if kind == "datetime":
        return as_times(pandas, values)
    return pandas.Series(values, dtype=kind)


def _text(pandas: Any, values: List[Any]) -> Any:
    if int(pandas.__version__.split(".")[0]) >= 3:  # noqa: PLR2004 - since then text has a type of its own
        return pandas.Series(values, dtype="str")
    return pandas.Series([float("nan") if value is None else value for value in values], dtype=object)


def _misfit(pandas: Any, piece: Slice, name: str, kind: str, values: List[Any]) -> str:
    """What is told of the first value that does not fit."""
    for number, value in enumerate(values):
        try:
            _column(pandas, kind, [value])
        except (ValueError, OverflowError):
            remedy = f"correct it, or declare another type for the column, such as types={{{name!r}: 'str'}}"
            return f"{piece.row(number)}, column {name!r}: {json.dumps(value)[:_MOST_TOLD]} is no {kind}; {remedy}"
    return ""
