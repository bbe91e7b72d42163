"""The file of a result, from the rows of mini-batches."""

import csv
import hashlib
import io
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from airflow_batchinfer.engine import result_file
from airflow_batchinfer.engine.result_file import GROUP_ROWS, Digesting, open_result
from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.worker.formats import rows_of
from airflow_batchinfer.worker.kinds import Kind

Columns = Sequence[tuple[str, Kind]]


def made(result_format: str, columns: Columns | None, mini_batches: Sequence[bytes]) -> bytes:
    target = io.BytesIO()
    stream = Digesting(target)
    result = open_result(result_format, stream, columns)
    for rows in mini_batches:
        result.add(rows, rows.find(b"\n") + 1 if result_format == "csv" else 0)
    result.finish()
    result.close()
    content = target.getvalue()
    assert (stream.size, stream.digest.hexdigest()) == (len(content), hashlib.sha256(content).hexdigest())
    return content


def typed(result: object) -> bytes:
    return rows_of(result, {"format": "parquet"}, []).text


def groups(content: bytes) -> list[int]:
    metadata = parquet.ParquetFile(io.BytesIO(content)).metadata
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def numbers(*counts: int) -> list[bytes]:
    """Mini-batches of so many rows, numbered through."""
    ends = np.cumsum(counts)
    return [typed(np.arange(end - count, end)) for count, end in zip(counts, ends, strict=True)]


RESULT = [("result", "int64")]


def test_csv_has_a_header_once_quoted_as_its_cells_are():
    header = b'"a,b","say ""x"""\r\n'
    content = made("csv", [("a,b", None), ('say "x"', None)], [header + b"1,2\r\n", b"", header + b"3,4\r\n"])
    assert content == header + b"1,2\r\n3,4\r\n"
    assert next(csv.reader(io.StringIO(content.decode(), newline=""))) == ["a,b", 'say "x"']


def test_cells_of_a_csv_of_any_length_are_put_into_the_order_of_the_first_mini_batch():
    long = b"x" * 200_000
    assert made("csv", None, [b"a,b\r\n1,2\r\n", b"b,a\r\n" + long + b",3\r\n"]) == b"a,b\r\n1,2\r\n3," + long + b"\r\n"


@pytest.mark.parametrize(("columns", "content"), [([("a", None)], b"a\r\n"), (None, b"")])
def test_csv_without_a_row_is_its_header_where_anybody_knows_it(columns: Columns | None, content: bytes):
    assert made("csv", columns, [b"", b""]) == content


def test_json_lines_are_put_one_behind_the_other():
    assert made("jsonl", [("a", None)], [b'{"a":1}\n', b'{"a":2}\n']) == b'{"a":1}\n{"a":2}\n'


@pytest.mark.parametrize("counts", [(200_000,), (1, 65_535, 65_536, 65_537), (30_000,) * 5, (GROUP_ROWS,), ()], ids=str)
def test_row_groups_are_cut_at_65_536_rows_and_nowhere_else(counts: tuple[int, ...]):
    content = made("parquet", RESULT, numbers(*counts))
    whole, rest = divmod(sum(counts), 65_536)
    assert groups(content) == [65_536] * whole + [rest] * bool(rest)
    assert parquet.read_table(io.BytesIO(content)).column("result").to_pylist() == list(range(sum(counts)))


@given(st.lists(st.integers(0, 40), max_size=8), st.data())
def test_the_bytes_do_not_depend_on_where_mini_batches_end(counts: list[int], data: st.DataObject):
    total = sum(counts)
    cuts = sorted(data.draw(st.lists(st.integers(0, total), max_size=4)))
    others = [end - start for start, end in zip([0, *cuts], [*cuts, total], strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(result_file, "GROUP_ROWS", 16)
        assert made("parquet", RESULT, numbers(*counts)) == made("parquet", RESULT, numbers(*others))


def test_rows_that_are_too_large_to_be_held_make_smaller_groups(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(result_file, "MOST_GROUP_BYTES", 1000)
    content = made("parquet", [("result", "string")], [typed(["x" * 300, "y" * 300]) for _ in range(5)])
    assert groups(content) == [4, 4, 2]


def test_a_mini_batch_that_was_made_in_parts_is_several_streams():
    content = made("parquet", RESULT, [b"".join(numbers(3, 2)), numbers(1)[0]])
    assert parquet.read_table(io.BytesIO(content)).column("result").to_pylist() == [0, 1, 2, 3, 4, 0]


def test_a_column_that_is_null_here_has_its_type_from_elsewhere_and_text_if_it_is_null_everywhere():
    batches = [typed([{"a": None, "b": [], "c": None}]), typed([{"a": 1, "b": ["x"], "c": None}])]
    content = made("parquet", [("a", "int64"), ("b", ["list", "string"]), ("c", None)], batches)
    table = parquet.read_table(io.BytesIO(content))
    assert table.schema.types == [pa.int64(), pa.list_(pa.string()), pa.string()]
    assert table.to_pylist() == [{"a": None, "b": [], "c": None}, {"a": 1, "b": ["x"], "c": None}]


@pytest.mark.parametrize("columns", [None, [("a", "int64"), ("b", None), ("c", ["list", None])]])
def test_parquet_without_a_row_is_a_file_that_readers_take(columns: Columns | None):
    frame = pd.read_parquet(io.BytesIO(made("parquet", columns, [b""])))
    assert list(frame.columns) == (["a", "b", "c"] if columns else ["result"])
    assert len(frame) == 0


FRAME = pd.DataFrame(
    {
        "id": [1, 2],
        "size": np.array([1, 2], dtype="uint16"),
        "score": np.array([0.5, np.nan], dtype="float32"),
        "flag": [True, False],
        "name": ["a", None],
        "kind": pd.Categorical(["x", "y"]),
        "day": [pd.Timestamp("2024-02-29").date(), None],
        "at": pd.to_datetime(["2024-02-29T01:02:03.000004", None]).astype("datetime64[ns]"),
        "zone": pd.to_datetime(["2024-02-29", None]).tz_localize("Europe/Berlin").astype("datetime64[ns, Europe/Berlin]"),
        "tags": [["a"], []],
        "where": [{"x": 1}, {"x": None}],
    }
)


def file_of_the_frame(folder: Path) -> Path:
    rows = rows_of(FRAME, {"format": "parquet"}, [])
    path = folder / "frame.parquet"
    path.write_bytes(made("parquet", [(name, kind) for name, kind in rows.schema or []], [rows.text]))
    return path


def test_pandas_reads_what_the_script_returned(tmp_path: Path):
    frame = pd.read_parquet(file_of_the_frame(tmp_path))
    assert [str(dtype) for dtype in frame.dtypes] == [
        *("int64", "uint16", "float32", "bool", "str", "str", "object"),
        *("datetime64[us]", "datetime64[us, UTC]", "object", "object"),
    ]
    assert frame["id"].tolist() == [1, 2]
    assert frame["kind"].tolist() == ["x", "y"]
    assert frame["at"][0] == FRAME["at"][0]
    assert frame["zone"][0] == FRAME["zone"][0]
    assert frame["tags"].map(list).tolist() == FRAME["tags"].tolist()
    assert frame["where"].tolist() == FRAME["where"].tolist()


def test_the_file_holds_only_what_spark_and_duckdb_read(tmp_path: Path):
    """Neither is installed here, so this looks at what they look at: physical types, logical types, encodings, statistics."""
    metadata = parquet.ParquetFile(file_of_the_frame(tmp_path)).metadata
    columns = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    assert [(column.path, column.physical_type, str(column.logical_type).partition(", is_from")[0]) for column in columns] == [
        ("id", "INT64", "None"),
        ("size", "INT32", "Int(bitWidth=16, isSigned=false)"),
        ("score", "FLOAT", "None"),
        ("flag", "BOOLEAN", "None"),
        ("name", "BYTE_ARRAY", "String"),
        ("kind", "BYTE_ARRAY", "String"),
        ("day", "INT32", "Date"),
        ("at", "INT64", "Timestamp(isAdjustedToUTC=false, timeUnit=microseconds"),
        ("zone", "INT64", "Timestamp(isAdjustedToUTC=true, timeUnit=microseconds"),
        ("tags.list.element", "BYTE_ARRAY", "String"),
        ("where.x", "INT64", "None"),
    ]
    for number in range(metadata.num_columns):
        chunk = metadata.row_group(0).column(number)
        assert chunk.compression == "SNAPPY"
        assert chunk.is_stats_set
        assert set(chunk.encodings) <= {"PLAIN", "RLE", "RLE_DICTIONARY"}
    assert b"pandas" not in (metadata.metadata or {})


class Full(io.RawIOBase):
    """A disk that takes so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, piece: Sized) -> int:  # type: ignore[override]
        self.room -= len(piece)
        if self.room < 0:
            raise StorageError("No space left on device")
        return len(piece)


@pytest.mark.parametrize("room", [0, 50, 300])
def test_what_storage_says_while_parquet_is_written_is_told_as_it_is(room: int):
    target: BinaryIO = Full(room)  # type: ignore[assignment]
    with pytest.raises(StorageError, match="No space left"):
        write_to(target)


def write_to(target: BinaryIO) -> None:
    result = open_result("parquet", Digesting(target), RESULT)
    try:
        for rows in numbers(100_000):
            result.add(rows, 0)
        result.finish()
    finally:
        result.close()
