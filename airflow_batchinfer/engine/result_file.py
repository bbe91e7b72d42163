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
from airflow_batchinfer.worker.kinds import Kind, Unwritable, arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 65_536
# Rows of which so many are too much for memory make smaller groups, cut behind a mini-batch.
MOST_GROUP_BYTES = 256 << 20
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
    if result_format == "csv" and columns:
        header = io.StringIO(newline="")
        csv.writer(header).writerow([name for name, _ in columns])
        stream.write(header.getvalue().encode("utf-8", "surrogateescape"))
    return _Text(stream)


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


class _Parquet:
    def __init__(self, stream: Digesting, columns: Schema) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        # What a column would hold that is null everywhere nobody knows; every reader knows text.
        self._schema = pa.schema([(name, arrow_type(kind, unknown="string")) for name, kind in columns])
        self._writer = parquet.ParquetWriter(stream, self._schema)
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    def add(self, rows: bytes, header_bytes: int) -> None:  # noqa: ARG002 - it brings no header
        for table in _tables(rows):
            self._keep(_fitted(table, self._schema))
        if self._rows >= GROUP_ROWS or self._bytes >= MOST_GROUP_BYTES:
            self._write_groups(also_the_last=self._bytes >= MOST_GROUP_BYTES)

    def finish(self) -> None:
        self._write_groups(also_the_last=True)
        self._writer.close()

    def close(self) -> None:
        with suppress(Exception):  # unfinished: what broke it was told, and would break this too
            self._writer.close()

    def _keep(self, table: "pa.Table") -> None:
        self._waiting.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes

    def _write_groups(self, *, also_the_last: bool) -> None:
        import pyarrow as pa

        table = pa.concat_tables([self._schema.empty_table(), *self._waiting])
        while table.num_rows >= GROUP_ROWS or (also_the_last and table.num_rows):
            # In one piece, since the pages of a group are cut where pieces end.
            self._writer.write_table(table.slice(0, GROUP_ROWS).combine_chunks(), row_group_size=GROUP_ROWS)
            table = table.slice(GROUP_ROWS)
        self._waiting, self._rows, self._bytes = [], 0, 0
        self._keep(table)


def as_stream(rows: bytes, columns: Schema) -> bytes:
    """The rows as an Arrow stream, also where a worker without pyarrow made them; `Unwritable` if they are not what they are said to be."""
    import pyarrow as pa

    if not rows or rows.startswith(_BEGIN_OF_STREAM):
        return rows
    arrays = []
    for (name, kind), values in zip(columns, json.loads(rows), strict=True):
        try:
            arrays.append(pa.array(values, arrow_type(kind, dates_as_text=True)).cast(arrow_type(kind)))
        except (Unwritable, ValueError, TypeError, OverflowError, NotImplementedError) as error:
            raise Unwritable(f"the column {name!r} cannot be written as Parquet: {error}") from error
    table = pa.Table.from_arrays(arrays, names=[name for name, _ in columns])
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
    """With the types of columns that were all null in this mini-batch."""
    import pyarrow as pa

    return pa.Table.from_arrays([column.cast(field.type) for column, field in zip(table.columns, schema, strict=True)], schema=schema)
