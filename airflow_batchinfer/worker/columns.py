"""What `run()` returned, as named columns of cells: for every named format, so for all but the legacy text.

A frame has its own columns, a list of dicts their keys; of anything else each element is a row of the one column `result`.
pandas and numpy are never imported here: if the result holds something of theirs, the script has done so.
"""

from __future__ import annotations

import sys
from datetime import date, time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .rows import BadResult, encode, is_frame, iterable

RESULT = "result"
_WRITABLE = frozenset((str, int, bool, type(None)))
# What include_item adds: a name, a kind and, for each item, a value.
Stamp = List[Tuple[str, str, List[Any]]]


class Columns(NamedTuple):
    """Columns of equal length: a list, an array or a Series each. `dicts` are the rows, where the script returned dicts;
    `named` says whether it has named the columns.
    """

    names: List[str]
    values: List[Any]
    rows: int
    dicts: Optional[List[Dict[Any, Any]]] = None
    named: bool = False


def columns_of(result: Any) -> Columns:
    """The columns of a result."""
    elements = iterable(result)
    if is_frame(result):
        values = [result.iloc[:, number] for number in range(result.shape[1])]
        return Columns(_names(result.columns, len(result)), values, len(result), named=True)
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(result, (pandas.Series, pandas.Index)):
        return Columns([RESULT], [result], len(result))
    array = _as_array(result)
    if array is not None and array.ndim == 1 and array.dtype != object:
        return Columns([RESULT], [array], len(array))
    found = [own_value(element) for element in (elements if array is None else array)]
    if any(isinstance(element, dict) for element in found):
        return _of_dicts(found)
    return Columns([RESULT] if found else [], [found] if found else [], len(found))


def stamped(columns: Columns, stamp: Stamp) -> Columns:
    """The columns, and before them the item of each row; nothing, where the script did not return one row for each item."""
    names = [name for name, _, _ in stamp]
    if clash := [name for name in names if name in columns.names]:
        raise BadResult(f"run() returned a column {clash[0]!r}, which include_item adds itself; call it something else")
    added = [values if len(values) == columns.rows else [None] * columns.rows for _, _, values in stamp]
    dicts = None
    if columns.dicts is not None:
        dicts = [{**dict(zip(names, cells)), **row} for row, *cells in zip(columns.dicts, *added)]
    return Columns(names + columns.names, added + columns.values, columns.rows, dicts, columns.named)


def cells(values: Any) -> List[Any]:
    """A column as what csv and JSON can write: text, numbers, booleans and None, and lists and dicts of them."""
    found = values if isinstance(values, list) else _as_list(values)
    kinds = set(map(type, found))
    if kinds <= _WRITABLE:
        return found
    if kinds == {float}:
        return [None if value != value else value for value in found]  # noqa: PLR0124 - only NaN is not itself
    return [cell(value) for value in found]


def cell(value: Any) -> Any:
    """One value as that; what is none of them is its text."""
    if value is None or is_missing(value):
        return None
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [cell(each) for each in value]
    if isinstance(value, dict):
        return _dict_cell(value)
    return _other_cell(value)


def _dict_cell(value: Dict[Any, Any]) -> Dict[str, Any]:
    found = {str(key): cell(each) for key, each in value.items()}
    if len(found) < len(value):
        keys = [str(key) for key in value]
        twice = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise BadResult(f"run() returned a dict with two keys that are {twice!r} as text; give each a name of its own")
    return found


def _other_cell(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        raise BadResult(f"run() returned {type(value).__name__}, which is neither text nor a number; decode it, or write a .parquet file")
    if _is_masked(value):
        return cell(own_value(value))
    array = _as_array(value)
    if array is None:
        return str(value)
    plain = _as_list(array)
    return [cell(each) for each in plain] if isinstance(plain, list) else cell(plain)


def is_missing(value: Any) -> bool:
    """Whether it is NaN, NaT or pandas' NA."""
    if isinstance(value, float):
        return value != value  # noqa: PLR0124 - only NaN is not itself
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is getattr(pandas, "NaT", ...) or value is getattr(pandas, "NA", ...))


def _of_dicts(rows: List[Any]) -> Columns:
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise BadResult(
                f"run() returned dicts, but row {number} is of type {type(row).__name__}; return a dict for every row, or for none"
            )
    keys = list(dict.fromkeys(key for row in rows for key in row))
    values = [[own_value(row.get(key)) for row in rows] for key in keys]
    return Columns(_names(keys, 0), values, len(rows), rows, named=True)


def _names(given: Iterable[Any], rows: int) -> List[str]:
    names = [str(name) for name in given]
    encode("".join(names), "strict")
    if len(set(names)) < len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise BadResult(f"run() returned two columns called {twice!r}; give each a name of its own")
    if rows and not names:
        raise BadResult(f"run() returned a DataFrame of {rows} rows without a column")
    return names


def own_value(value: Any) -> Any:
    """Tensors of other libraries as numpy's arrays and numbers, and what has several dimensions as lists of what has one.

    What is masked is missing, and numpy's arrays have no place for that.
    """
    if type(value) in _WRITABLE:
        return value
    if _is_masked(value):
        return [own_value(each) for each in value] if value.ndim else None if value.mask else value.data[()]
    array = None if is_frame(value) else _as_array(value)
    if array is None or array.ndim == 1:
        return value if array is None else array
    return array[()] if array.ndim == 0 else [own_value(row) for row in array]


def _as_array(value: Any) -> Any:
    numpy = sys.modules.get("numpy")
    return numpy.asarray(value) if numpy is not None and hasattr(value, "__array__") and not _is_masked(value) else None


def _is_masked(value: Any) -> bool:
    masked = sys.modules.get("numpy.ma")
    return masked is not None and isinstance(value, masked.MaskedArray)


def _as_list(values: Any) -> Any:
    """An array or a Series as Python's own values; a float32 with as many digits as tell it from every other."""
    numpy = sys.modules["numpy"]
    kind, size = getattr(values.dtype, "kind", "O"), getattr(values.dtype, "itemsize", 0)
    if isinstance(values.dtype, numpy.dtype) and kind == "f" and size < 8:  # noqa: PLR2004 - bytes of Python's float
        return numpy.asarray(values).astype(str).astype(float).tolist()
    if isinstance(values, numpy.ndarray) and kind in "mM":
        return numpy.where(numpy.isnat(values), None, values.astype(str).astype(object)).tolist()
    return values.tolist()
