"""The file of a result, in the format that its name asks for: mini-batches go in one after the other and out at once.

What is held in memory is one mini-batch, and of Parquet the rows of one row group. Groups are cut at fixed numbers of rows,
so that nothing of a file depends on who made which part of it.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from airflow_batchinfer.worker.columns import RESULT
from airflow_batchinfer.worker.kinds import Kind, Unwritable, arrow_type, told

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

GROUP_ROWS = 65_536
# Rows of which so many are too much for memory make smaller groups, cut behind a mini-batch.
MOST_GROUP_BYTES = 256 << 20
# A cell of a csv may be as long as a script makes it, and Python's reader has a limit of its own.
MOST_CELL_CHARACTERS = 2**31 - 1
_BEGIN_OF_STREAM = b"\xff\xff\xff\xff"
Schema = Sequence[tuple[str, Kind]]


class Digesting(io.RawIOBase):
    """A stream that counts and digests what goes through; without a target it only says that nothing did."""

    def __init__(self, target: BinaryIO | None) -> None:
        self._target = target
        self.size = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:  # noqa: ANN401 - whatever has bytes: pyarrow gives buffers of its own
        if self._target is not None and len(piece):
            self._target.write(bytes(piece))
            self.size += len(piece)
            self.digest.update(piece)
        return len(piece)


class ResultFile(Protocol):
    """A result in the making."""

    def add(self, rows: bytes, header_bytes: int) -> None:
        """The next mini-batch's rows; so many bytes at their start are a header of their own."""

    def finish(self) -> None:
        """There are no more."""

    def close(self) -> None:
        """Let go of everything, finished or not."""


def open_result(result_format: str, stream: Digesting, columns: Schema | None) -> ResultFile:
    """A file of a format, with these columns."""
    if result_format == "parquet":
        # Where there is no row, nobody may know a column; some readers want one.
        return _Parquet(stream, columns or [(RESULT, None)])
    return _Csv(stream, columns or []) if result_format == "csv" else _Text(stream)


class _Text:
    """Mini-batches as they are, but for a header that each of them brings."""

    def __init__(self, stream: Digesting) -> None:
        self._stream = stream
        self._has_header = False

    def add(self, rows: bytes, header_bytes: int) -> None:
        self._stream.write(rows[header_bytes:] if self._has_header else rows)
        self._has_header |= header_bytes > 0

    def finish(self) -> None: ...

    def close(self) -> None: ...


class _Csv:
    """Rows under the header of the first mini-batch; where another has its columns in another order, they are put into this one."""

    def __init__(self, stream: Digesting, columns: Schema) -> None:
        self._stream = stream
        self._columns = columns
        self._header = b""

    def add(self, rows: bytes, header_bytes: int) -> None:
        if header_bytes:
            self._begin(rows[:header_bytes])
            self._stream.write(rows_in_order(rows, header_bytes, self._header))

    def finish(self) -> None:
        if self._columns:
            self._begin(csv_header([name for name, _ in self._columns]))

    def close(self) -> None: ...

    def _begin(self, header: bytes) -> None:
        if not self._header:
            self._header = header
            self._stream.write(header)


class _Parquet:
    """The order of the columns is that of the first mini-batch, and their types are those of all."""

    def __init__(self, stream: Digesting, columns: Schema) -> None:
        self._stream = stream
        self._columns = columns
        self._writer: parquet.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    def add(self, rows: bytes, header_bytes: int) -> None:  # noqa: ARG002 - it brings no header
        for table in _tables(rows):
            if self._writer is None:
                self._begin(table.column_names)
            self._keep(_fitted(table, self._schema))
        if self._rows >= GROUP_ROWS or self._bytes >= MOST_GROUP_BYTES:
            self._write_groups(also_the_last=self._bytes >= MOST_GROUP_BYTES)

    def finish(self) -> None:
        if self._writer is None:
            self._begin([name for name, _ in self._columns])
        self._write_groups(also_the_last=True)
        self._writer.close()  # type: ignore[union-attr]

    def close(self) -> None:
        with suppress(Exception):  # unfinished: what broke it was told, and would break this too
            if self._writer:
                self._writer.close()

    def _begin(self, names: Sequence[str]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        kinds = dict(self._columns)
        # What a column would hold that is null everywhere nobody knows; every reader knows text.
        self._schema = pa.schema([(name, arrow_type(kinds[name], unknown="string")) for name in names])
        self._writer = parquet.ParquetWriter(self._stream, self._schema)

    def _keep(self, table: "pa.Table") -> None:
        self._waiting.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes

    def _write_groups(self, *, also_the_last: bool) -> None:
        import pyarrow as pa

        table = pa.concat_tables([self._schema.empty_table(), *self._waiting])
        while table.num_rows >= GROUP_ROWS or (also_the_last and table.num_rows):
            # In one piece, since the pages of a group are cut where pieces end.
            self._writer.write_table(  # type: ignore[union-attr]
                table.slice(0, GROUP_ROWS).combine_chunks(), row_group_size=GROUP_ROWS
            )
            table = table.slice(GROUP_ROWS)
        self._waiting, self._rows, self._bytes = [], 0, 0
        self._keep(table)


def is_stream(rows: bytes) -> bool:
    """Whether nothing is left to be done to the rows."""
    return not rows or rows.startswith(_BEGIN_OF_STREAM)


def as_stream(rows: bytes, columns: Schema) -> bytes:
    """The rows as an Arrow stream, also where a worker without pyarrow made them; `Unwritable` if they are not what they are said to be."""
    import pyarrow as pa

    if is_stream(rows):
        return rows
    arrays = []
    for (name, kind), values in zip(columns, json.loads(rows), strict=True):
        try:
            arrays.append(pa.array(values, arrow_type(kind, dates_as_text=True)).cast(arrow_type(kind)))
        except (Unwritable, ValueError, TypeError, OverflowError, NotImplementedError) as error:
            raise Unwritable(f"the column {name!r} cannot be written as Parquet: {error}") from error
    return _stream_of(pa.Table.from_arrays(arrays, names=[name for name, _ in columns]))


def _stream_of(table: "pa.Table") -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _tables(rows: bytes) -> "Iterator[pa.Table]":
    """The streams of a mini-batch: one for each part that it was made in."""
    import pyarrow as pa

    source = pa.BufferReader(rows)
    while source.tell() < len(rows):
        with pa.ipc.open_stream(source) as stream:
            yield stream.read_all()


def _fitted(table: "pa.Table", schema: "pa.Schema") -> "pa.Table":
    """In the order of all, with the types of columns that were all null in this mini-batch, or had fewer digits."""
    import pyarrow as pa

    return pa.Table.from_arrays([table.column(field.name).cast(field.type) for field in schema], schema=schema)


def as_columns(rows: bytes, header_bytes: int, result_format: str, own: Schema, columns: Schema) -> tuple[bytes, int]:
    """The rows of a part with all columns of its mini-batch, and the size of their header; `Unwritable` if they would lose something."""
    if list(own) == list(columns):
        return rows, header_bytes
    names = [name for name, _ in columns]
    if result_format == "csv":
        header = csv_header(names)
        return header + rows_in_order(rows, header_bytes, header), len(header)
    if result_format == "parquet":
        return _as_parquet(rows, columns), 0
    missing = set(names) - {name for name, _ in own}
    added = "".join(f",{json.dumps(name, ensure_ascii=False)}:null" for name in names if name in missing).encode()
    return b"".join(line[:-1] + added + b"}\n" for line in rows.split(b"\n") if line), 0


def _as_parquet(rows: bytes, columns: Schema) -> bytes:
    import pyarrow as pa

    table = pa.concat_tables(_tables(rows))
    arrays = []
    for name, kind in columns:
        try:
            values = table.column(name).to_pylist() if name in table.column_names else [None] * table.num_rows
            arrays.append(pa.array(values, arrow_type(kind)))
        except (ValueError, TypeError, OverflowError) as error:
            raise Unwritable(f"the column {name!r} cannot become {told(kind)} without a loss: {error}") from error
    return _stream_of(pa.Table.from_arrays(arrays, names=[name for name, _ in columns]))


def csv_header(names: Sequence[str]) -> bytes:
    """The line above the rows."""
    header = io.StringIO(newline="")
    csv.writer(header).writerow(names)
    return header.getvalue().encode("utf-8", "surrogateescape")


def rows_in_order(rows: bytes, header_bytes: int, header: bytes) -> bytes:
    """The rows of a csv without their header, their cells in the order of another header; what they do not have is empty."""
    if rows[:header_bytes] == header:
        return rows[header_bytes:]
    csv.field_size_limit(MOST_CELL_CHARACTERS)
    names = next(csv.reader(io.StringIO(header.decode("utf-8", "surrogateescape"), newline="")))
    text = io.StringIO(newline="")
    write = csv.DictWriter(text, names, restval="")
    write.writerows(csv.DictReader(io.StringIO(rows.decode("utf-8", "surrogateescape"), newline="")))
    return text.getvalue().encode("utf-8", "surrogateescape")
