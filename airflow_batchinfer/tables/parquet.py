"""Cuts Parquet files into slices: row groups, several small ones together and large ones in parts. Mostly only footers are read.

The types are the files' own, and a column looks as pandas shows it. But integers and bools, also within lists and structs, look
different where values are missing, so it is settled whether any are: by the statistics, or where these leave it open by a look
at the column. Within lists and structs it is settled for each of the leaves, which Parquet stores as columns of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_batchinfer.datasets import Item, TableForm
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.pieces import NO_END, Values, came_back
from airflow_batchinfer.tables.slices import Slice, Window
from airflow_batchinfer.tables.streams import is_gzip, opened_anywhere

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData, ParquetFile

AS_IT_IS = "as it is"
WITH_GAPS = "with gaps in the leaves "  # and their numbers; the worker knows it, too
_MOST_TOLD = 5


class ParquetCutter:
    """See `tables.cutting.Cutter`."""

    def __init__(self, form: TableForm, most_bytes: int | None, keys: tuple[str, ...]) -> None:
        self._form = form
        self._most_bytes = most_bytes
        self._keys = keys
        self._first_path = ""
        self._fields: dict[str, str] = {}
        self._gaps: dict[str, set[int]] = {}
        self._kinds: dict[str, Any] = {}

    def cut(self, item: Item, window: Window) -> Iterator[tuple[Values, Slice]]:
        """The slices of a file, each with the values of the key columns."""
        if is_gzip(item.path):
            raise ConfigError(f"{item.path}: a Parquet file is packed within, not as a whole; unpack it, and name it without .gz")
        with parquet_file(item) as file:
            self._meet(item.path, file)
            first = min(window.skip, file.metadata.num_rows)
            taken = file.metadata.num_rows - first
            taken = taken if window.take is None else min(window.take, taken)
            window.skip -= first
            window.take = None if window.take is None else window.take - taken
            cut = by_size(file.metadata, self._most_bytes or NO_END)
            for values, start, stop in self._by_key(item.path, file) if self._keys else (((), *rows) for rows in cut):
                start, stop = max(start, first), min(stop, first + taken)  # noqa: PLW2901 - what the window leaves of it
                if start < stop:
                    yield values, Slice(*item, start, stop, start, stop - start)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and types, when every file has been cut."""
        return tuple((name, _told(kind, self._gaps[name])) for name, kind in self._kinds.items())

    def close(self) -> None:
        """Nothing is held."""

    def _meet(self, path: str, file: "ParquetFile") -> None:
        """Hold the columns of a file against those of the first, and see where values are missing."""
        names = file.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{path} has several columns called {twice[0]!r}; give each a name of its own")
        if not names:
            raise ConfigError(f"{path} has no columns; leave it out")
        fields = {field.name: str(_plain(field.type)) for field in file.schema_arrow}
        if not self._first_path:
            self._first_path, self._fields = path, fields
            self._kinds, self._gaps = {field.name: _plain(field.type) for field in file.schema_arrow}, {name: set() for name in fields}
            if missing := [name for name in self._keys if name not in fields]:
                raise ConfigError(f"partition_keys: the table has no column {missing[0]!r}; there are {', '.join(fields) or 'none'}")
        elif fields != self._fields:
            told = "; ".join(_differences(fields, self._fields, self._first_path))
            raise ConfigError(f"{path} has other columns than {self._first_path}: {told}. Write them alike, or score them in two steps")
        self._settle(file)

    def _settle(self, file: "ParquetFile") -> None:
        """See in which of the leaves that pandas would show differently values are missing."""
        place = 0
        for field in file.schema_arrow:
            leaves, known = _leaves(_plain(field.type)), self._gaps[field.name]
            counts = {n: _null_count(file, place + n) for n, leaf in enumerate(leaves) if _has_other_gaps(leaf) and n not in known}
            if found := {number for number, nulls in counts.items() if nulls != 0}:
                is_sure = not _is_nested(field.type) and None not in counts.values()
                known |= found if is_sure else found & _leaves_with_nulls(file, field.name)
            place += len(leaves)

    def _by_key(self, path: str, file: "ParquetFile") -> Iterator[tuple[Values, int, int]]:
        """Rows from and to with equal values of the keys."""
        seen: set[Values] = set()
        values: Values | None = None
        start = row = 0
        for batch in file.iter_batches(columns=list(self._keys)):
            for found in zip(*(map(_as_text, batch[name].to_pylist()) for name in self._keys), strict=True):
                if found != values:
                    if values is not None:
                        yield values, start, row
                    if found in seen:
                        raise came_back(path, row, self._keys, found)
                    seen.add(found)
                    values, start = found, row
                row += 1
        if values is not None:
            yield values, start, row


@contextmanager
def parquet_file(item: Item) -> Iterator["ParquetFile"]:
    """A file's footer, and what else of it is asked for."""
    import pyarrow as pa
    from pyarrow import parquet

    with opened_anywhere(item) as stream:
        try:
            yield parquet.ParquetFile(stream)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of storage; those of pyarrow have no number
            told = str(error).strip().rstrip(".")
            raise ConfigError(f"{item.path} is no sound Parquet file: {told}. Write or upload it again, or leave it out") from error


def by_size(metadata: "FileMetaData", most_bytes: int) -> Iterator[tuple[int, int]]:
    """Rows from and to: as many whole groups as fit, or parts of about equal size of one that does not."""
    start = stop = held = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        parts = max(1, min(-(-group.total_byte_size // most_bytes), group.num_rows))
        if held and held + group.total_byte_size > most_bytes:
            yield start, stop
            start, held = stop, 0
        for part in range(1, parts):
            behind = stop + group.num_rows * part // parts
            yield start, behind
            start = behind
        stop += group.num_rows
        held += group.total_byte_size if parts == 1 else most_bytes
    if start < stop:
        yield start, stop


def groups_of(metadata: "FileMetaData", start: int, stop: int) -> list[int]:
    """The row groups that hold these rows."""
    found, first = [], 0
    for number in range(metadata.num_row_groups):
        behind = first + metadata.row_group(number).num_rows
        if start < behind and stop > first:
            found.append(number)
        first = behind
    return found


def _plain(kind: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """A type without what pandas does not show: how text is stored."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    return pa.binary() if pa.types.is_large_binary(kind) or kind == pa.binary_view() else kind


def _differences(here: dict[str, str], there: dict[str, str], path: str) -> list[str]:
    found = [f"it has no {name!r}" for name in there if name not in here]
    found += [f"{path} has no {name!r}" for name in here if name not in there]
    found += [f"{name!r} is {kind}, there {there[name]}" for name, kind in here.items() if there.get(name, kind) != kind]
    return found[:_MOST_TOLD] + ([f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else [])


def _is_nested(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    from pyarrow import types

    return bool(types.is_nested(kind))


def _leaves(kind: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    """The types within a type that hold no others, in the order of the columns that Parquet stores."""
    kind = getattr(kind, "storage_type", kind)
    return [leaf for place in range(kind.num_fields) for leaf in _leaves(kind.field(place).type)] if _is_nested(kind) else [kind]


def _leaves_of(array: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
    """The same of values: what is in a list or struct that is missing is none, but in one of a fixed size."""
    from pyarrow import types

    array = getattr(array, "storage", array)
    if types.is_map(array.type):
        parts = [array.keys, array.items]
    elif types.is_fixed_size_list(array.type):
        size = array.type.list_size
        parts = [array.values.slice(array.offset * size, len(array) * size)]
    else:
        parts = array.flatten() if types.is_struct(array.type) else [array.flatten()] if _is_nested(array.type) else []
    return [leaf for part in parts for leaf in _leaves_of(part)] if _is_nested(array.type) else [array]


def _has_other_gaps(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    """Whether pandas makes something else of values of this type where one is missing."""
    from pyarrow import types

    kind = _plain(kind)
    return bool(types.is_boolean(kind) or types.is_integer(kind))


def _null_count(file: "ParquetFile", leaf: int) -> int | None:
    """How many values are missing; within lists and structs also what is in none. Nothing where the file does not say."""
    metadata = file.metadata
    found = [metadata.row_group(number).column(leaf).statistics for number in range(metadata.num_row_groups)]
    known = [each.null_count for each in found if each is not None and each.has_null_count]
    return sum(known) if len(known) == len(found) else None


def _leaves_with_nulls(file: "ParquetFile", name: str) -> set[int]:
    batches = file.iter_batches(columns=[name])
    return {number for batch in batches for number, leaf in enumerate(_leaves_of(batch.column(0))) if leaf.null_count}


def _told(kind: Any, gaps: set[int]) -> str:  # noqa: ANN401 - pyarrow has no types
    """What a worker makes of a column."""
    from pyarrow import types

    if not gaps:
        return AS_IT_IS
    if _is_nested(kind):
        return WITH_GAPS + " ".join(map(str, sorted(gaps)))
    return "object" if types.is_boolean(kind) else "float64"


def _as_text(value: object) -> str:
    return "" if value is None else str(value)
