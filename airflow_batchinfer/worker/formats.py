"""Rows in the format that the result's file name asks for, as bytes that only have to be put one behind the other.

csv      RFC 4180, each with a header, which whoever joins them writes once
jsonl    one object per row
parquet  as `typed` says
"""

from __future__ import annotations

import csv
import io
import json
from json.encoder import encode_basestring as _quoted
from math import isfinite
from typing import Any, Callable, Dict, List, Optional

from . import typed
from .columns import Columns, Stamp, cell, cells, columns_of, stamped
from .rows import BadResult, Rows, append_rows, encode

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def rows_of(result: Any, job: Dict[str, Any], stamp: Stamp) -> Rows:
    """The rows of a result under append_row; `stamp` says which item each is of, if the job asks for that."""
    if job["format"] == "txt":
        return append_rows(result, job["to_csv"])
    columns = columns_of(result)
    if stamp and (columns.names or columns.rows):
        columns = stamped(columns, stamp)
    if job["format"] == "jsonl":
        return _as_json_lines(columns)
    if columns.rows and not columns.names:
        raise BadResult("run() returned empty dicts, which make no columns")
    return _as_csv(columns) if job["format"] == "csv" else typed.rows_of(columns, {name: kind for name, kind, _ in stamp})


def prepare(job: Dict[str, Any]) -> None:
    """Load now what the first mini-batch should not wait for."""
    if job["format"] == "parquet":
        typed.arrow()


def _as_csv(columns: Columns) -> Rows:
    text = io.StringIO(newline="")
    write = csv.writer(text)
    if columns.names:
        write.writerow(columns.names)
    header_bytes = len(encode(text.getvalue()))
    write.writerows(zip(*map(_csv_cells, columns.names, columns.values)))
    return Rows(columns.rows, encode(text.getvalue()), header_bytes, _schema(columns), columns.named)


def _csv_cells(name: str, values: Any) -> List[Any]:
    found = cells(values)
    if not {list, dict} & set(map(type, found)):
        return found
    try:
        return [json.dumps(value, ensure_ascii=False, allow_nan=False) if isinstance(value, (list, dict)) else value for value in found]
    except ValueError as error:
        raise _infinite(f"the column {name!r}") from error


def _as_json_lines(columns: Columns) -> Rows:
    if columns.dicts is not None:
        lines = [f"{text}\n" for text in _json_texts("a row", list(map(cell, columns.dicts)))]
    else:
        row = "{" + ",".join(_quoted(name).replace("%", "%%") + ":%s" for name in columns.names) + "}\n"
        texts = [_json_texts(f"the column {name!r}", cells(values)) for name, values in zip(columns.names, columns.values)]
        lines = [row % cells_of_row for cells_of_row in zip(*texts)]
    # What is no Unicode becomes an escape of JSON's own.
    text = encode("".join(lines), "backslashreplace")
    return Rows(columns.rows, text, schema=None if columns.dicts is not None else _schema(columns), named=columns.named)


def _json_texts(name: str, values: List[Any]) -> List[str]:
    """Each value as JSON. Most columns are of one plain type, and going through them costs the least with what writes only that."""
    kinds = set(map(type, values))
    write: Callable[[Any], str] = _JSON.encode
    if kinds == {str}:
        write = _quoted
    elif kinds == {int}:
        write = str
    elif kinds == {float} and all(map(isfinite, values)):
        write = float.__repr__
    try:
        return list(map(write, values))
    except ValueError as error:
        raise _infinite(name) from error


def _infinite(name: str) -> BadResult:
    return BadResult(f"{name} holds an infinite number, which JSON cannot say; return None, or write .parquet")


def _schema(columns: Columns) -> Optional[List[List[Any]]]:
    """The names alone: text has no types."""
    return [[name, None] for name in columns.names] or None
