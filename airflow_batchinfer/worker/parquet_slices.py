"""A slice of a Parquet file as a DataFrame. The row group that was read last is kept, since slices of it follow each other."""

from __future__ import annotations

import os
from importlib import import_module
from itertools import count
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from .slices import BadTable, Slice

_WITH_GAPS = "with gaps in the leaves "  # as `tables.parquet` says it


def read(_: Any, piece: Slice, table: Dict[str, Any]) -> Any:
    """The rows of a slice."""
    names, types = table["columns"] or table["names"], table["types"]
    piece.check()
    try:
        arrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise BadTable("the interpreter of the script has no pyarrow, which Parquet needs: add pyarrow to its environment") from error
    try:
        rows = _kept.rows(arrow, parquet, piece, names)
        frame = _frame(arrow, _without_dictionaries(arrow, rows), types)
    except (arrow.ArrowException, OSError, KeyError) as error:
        told = f"rows {piece.start:,} to {piece.stop - 1:,} cannot be read: {str(error).strip()}"
        raise BadTable(f"{piece.name}: {told}; write the file again, or leave it out") from error
    if len(frame) != piece.rows:
        raise BadTable(f"{piece.name} holds {len(frame):,} rows where {piece.rows:,} were planned; score it again with a new plan")
    for name in names:
        if types[name] in ("float64", "object"):
            frame[name] = frame[name].astype(types[name])
    return frame


class _Kept:
    """The file that was opened last, and its row group that was read last."""

    def __init__(self) -> None:
        self._place: Optional[Tuple[int, ...]] = None
        self._file: Any = None
        self._which: Optional[Tuple[int, List[str]]] = None
        self._group: Any = None

    def rows(self, arrow: Any, parquet: Any, piece: Slice, names: List[str]) -> Any:
        """The rows of a slice, of these columns in this order."""
        found = os.stat(piece.path)
        place = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)  # a file that was fetched bears a name for each slice
        if place != self._place:
            self._which = self._group = None
            self._file, self._place = parquet.ParquetFile(piece.path), place
        parts, first = [], 0
        for group in range(self._file.num_row_groups):
            behind = first + self._file.metadata.row_group(group).num_rows
            if piece.start < behind and piece.stop > first:
                start, stop = max(piece.start, first), min(piece.stop, behind)
                parts.append(self._group_of(group, names).slice(start - first, stop - start))
            first = behind
        return arrow.concat_tables(parts)

    def _group_of(self, group: int, names: List[str]) -> Any:
        if self._which != (group, names):
            self._which = self._group = None  # before the next takes memory
            self._group = self._file.read_row_group(group, columns=names).select(names)
            self._which = (group, names)
        return self._group


_kept = _Kept()


def _frame(arrow: Any, rows: Any, types: Dict[str, str]) -> Any:
    """A nested column in whose leaves a value is missing anywhere is made with a row more, in which it is, so as to look alike."""
    nested = {}
    for place, name in enumerate(rows.schema.names):
        if types[name].startswith(_WITH_GAPS):
            gaps = set(map(int, types[name][len(_WITH_GAPS) :].split()))
            column = rows.column(place)
            more = arrow.array([_with_gaps(arrow, column.type, count(), gaps)], column.type)
            nested[name] = arrow.chunked_array([*column.chunks, more]).combine_chunks().to_pandas()[:-1]
            rows = rows.set_column(place, name, arrow.nulls(len(rows)))
    # A copy: it may be written to, and what is kept stays as it is.
    return rows.to_pandas(ignore_metadata=True).copy().assign(**nested)


def _with_gaps(arrow: Any, kind: Any, leaves: Iterator[int], gaps: Set[int], *, is_key: bool = False) -> Any:
    """A value of a type in which nothing is missing that matters, but the leaves of these numbers, counted as in `tables.parquet`."""
    kind = getattr(kind, "storage_type", kind)
    if arrow.types.is_map(kind):
        key = _with_gaps(arrow, kind.key_type, leaves, gaps, is_key=True)
        return [(key, _with_gaps(arrow, kind.item_type, leaves, gaps))]
    if arrow.types.is_struct(kind):
        return {kind.field(n).name: _with_gaps(arrow, kind.field(n).type, leaves, gaps) for n in range(kind.num_fields)}
    if arrow.types.is_nested(kind):
        return [_with_gaps(arrow, kind.value_type, leaves, gaps)] * getattr(kind, "list_size", 1)
    kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
    if next(leaves) in gaps:
        return None
    if arrow.types.is_integer(kind) or arrow.types.is_boolean(kind):
        return 0 if arrow.types.is_integer(kind) else False
    return arrow.scalar("1970-01-01").cast(kind).as_py() if is_key else None


def _without_dictionaries(arrow: Any, rows: Any) -> Any:
    """Categories differ from group to group; their values do not."""
    for number, field in enumerate(rows.schema):
        if arrow.types.is_dictionary(field.type):
            rows = rows.set_column(number, field.name, rows.column(number).cast(field.type.value_type))
    return rows
