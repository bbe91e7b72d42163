"""Cuts Parquet files into slices: row groups, several small ones together and large ones in parts. Mostly only footers are read.

The types are the files' own, and a column looks as pandas shows it. But one of integers or bools looks different where values
are missing, so it is settled whether any are: by the statistics, or where there are none by a look at the column.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_batchinfer.datasets import Item, TableForm
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.csv_pieces import Values
from airflow_batchinfer.tables.slices import Slice, Window
from airflow_batchinfer.tables.streams import opened_anywhere

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData, ParquetFile

AS_IT_IS = "as it is"
_MOST_TOLD = 5
_NO_END = 1 << 62


class ParquetCutter:
    """See `tables.cutting.Cutter`."""

    def __init__(self, form: TableForm, most_bytes: int | None, keys: tuple[str, ...]) -> None:
        self._form = form
        self._most_bytes = most_bytes
        self._keys = keys
        self._first_path = ""
        self._fields: dict[str, str] = {}
        self._types: dict[str, str] = {}

    def cut(self, item: Item, window: Window) -> Iterator[tuple[Values, Slice]]:
        """The slices of a file, each with the values of the key columns."""
        with parquet_file(item) as file:
            self._meet(item.path, file)
            first = min(window.skip, file.metadata.num_rows)
            taken = file.metadata.num_rows - first
            taken = taken if window.take is None else min(window.take, taken)
            window.skip -= first
            window.take = None if window.take is None else window.take - taken
            cut = by_size(file.metadata, self._most_bytes or _NO_END)
            for values, start, stop in self._by_key(item.path, file) if self._keys else (((), *rows) for rows in cut):
                start, stop = max(start, first), min(stop, first + taken)  # noqa: PLW2901 - what the window leaves of it
                if start < stop:
                    yield values, Slice(*item, start, stop, start, stop - start)

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Names and types, when every file has been cut."""
        return tuple(self._types.items())

    def _meet(self, path: str, file: "ParquetFile") -> None:
        """Hold the columns of a file against those of the first, and see where values are missing."""
        names = file.schema_arrow.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{path} has several columns called {twice[0]!r}; give each a name of its own")
        if not names:
            raise ConfigError(f"{path} has no columns; leave it out")
        fields = {field.name: str(_plain(field.type)) for field in file.schema_arrow}
        if not self._first_path:
            self._first_path, self._fields, self._types = path, fields, dict.fromkeys(fields, AS_IT_IS)
            if missing := [name for name in self._keys if name not in fields]:
                raise ConfigError(f"partition_keys: the table has no column {missing[0]!r}; there are {', '.join(fields) or 'none'}")
        elif fields != self._fields:
            told = "; ".join(_differences(fields, self._fields, self._first_path))
            raise ConfigError(f"{path} has other columns than {self._first_path}: {told}. Write them alike, or score them in two steps")
        for field in file.schema_arrow:
            if (with_gaps := _with_gaps(field.type)) and self._types[field.name] == AS_IT_IS and _holds_nulls(file, field.name):
                self._types[field.name] = with_gaps

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
                        raise ConfigError(_came_back(path, row, self._keys, found))
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


def _with_gaps(kind: Any) -> str | None:  # noqa: ANN401 - pyarrow has no types
    """What pandas makes of a column of this type in which values are missing, if that is something else."""
    from pyarrow import types

    kind = _plain(kind)
    if types.is_boolean(kind):
        return "object"
    return "float64" if types.is_integer(kind) else None


def _holds_nulls(file: "ParquetFile", name: str) -> bool:
    metadata, paths = file.metadata, [file.schema.column(number).path for number in range(file.metadata.num_columns)]
    place = paths.index(name)
    found = [metadata.row_group(number).column(place).statistics for number in range(metadata.num_row_groups)]
    if all(each is not None and each.has_null_count for each in found):
        return any(each.null_count for each in found)
    return any(batch.column(0).null_count for batch in file.iter_batches(columns=[name]))


def _came_back(path: str, row: int, names: Sequence[str], values: Values) -> str:
    told = ", ".join(f"{name}={value!r}" for name, value in zip(names, values, strict=True))
    remedy = f"sort the file by {', '.join(names)}, so that rows of one partition stand together"
    return f"{path}: row {row:,} has {told} again, after rows with other values; {remedy}"


def _as_text(value: object) -> str:
    return "" if value is None else str(value)
