"""CSV files cut without being read (multi_line=False)."""

import logging
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import Item, TableForm
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables import csv_ranges
from airflow_batchinfer.tables.csv_cutter import CsvCutter
from airflow_batchinfer.tables.csv_ranges import _line_end
from airflow_batchinfer.tables.slices import Window
from airflow_batchinfer.worker.tables import BadTable, read
from tests.unit.tables.csv_oracle import cut, cut_and_read, line_ends, told

FORM = TableForm("csv", multi_line=False)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200), line_ends, st.integers(1, 500), st.integers(1, 12), st.booleans())
def test_the_rows_are_those_of_the_whole_wherever_the_cuts_fall(
    tmp_path_factory, numbers, line_end: str, most_bytes: int, look: int, end: bool
):
    text = line_end.join(["number,text", *(f'{number},"a ""b"" {number}"' for number in numbers)]) + line_end * end
    path = write(tmp_path_factory.mktemp("ranges") / "a.csv", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_ranges, "_LOOK_BYTES", look)
        slices, _ = cut(FORM, [path], most_bytes)
        found = cut_and_read(FORM, [path], most_bytes)
    pd.testing.assert_frame_equal(found, pd.read_csv(path))
    assert [piece.start for piece in slices[1:]] == [piece.stop for piece in slices[:-1]]
    assert (slices[-1].stop, {piece.first for piece in slices}) == (len(text), {None})


@pytest.mark.parametrize(("target", "end"), [(1, 4), (3, 4), (4, 4), (5, 8), (7, 8), (8, 8), (9, 11), (11, 11), (12, 15), (15, 15)])
@pytest.mark.parametrize("look", [1, 2, 100])
def test_a_cut_is_behind_the_first_line_break_that_ends_at_the_target_or_later(
    monkeypatch: pytest.MonkeyPatch, target: int, end: int, look: int
):
    monkeypatch.setattr(csv_ranges, "_LOOK_BYTES", look)
    text = b"abc\nab\r\na\r\ncde\r"
    assert _line_end(lambda start, stop: text[start:stop], Item("a.csv", len(text), 0), target) == end


class CountingFileSystem(MemoryFileSystem):
    """How many bytes were asked for."""

    protocol = "counting"
    store: dict[str, Any] = {}  # noqa: RUF012 - as in the one it is made of
    asked = 0

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        found: bytes = super().cat_file(path, start, end)
        CountingFileSystem.asked += len(found)
        return found


def test_a_remote_file_is_not_read_but_at_its_start_and_where_it_is_cut():
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    text = b"number\n" + b"".join(b"%09d\n" % number for number in range(3_000_000))
    CountingFileSystem().pipe_file("counting://a.csv", text)
    slices = [piece for _, piece in CsvCutter(FORM, 1 << 20, ()).cut(Item("counting://a.csv", len(text), ""), Window(0, None))]
    assert len(slices) == 29
    assert all(text.startswith(b"\n", piece.stop - 1) for piece in slices)
    assert abs(sum(piece.rows for piece in slices) - 3_000_000) < 30
    assert CountingFileSystem.asked < 4 << 20


def test_one_sentence_says_what_is_assumed(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    paths = [write(tmp_path / f"{number}.csv", "a\n1\n") for number in range(3)]
    with caplog.at_level(logging.INFO, "airflow_batchinfer"):
        cut(FORM, paths, 10)
    [said] = caplog.messages
    assert "it is assumed that no record holds a line break, and that the first 1048576 bytes of the first 10 files show the types" in said


def test_a_value_that_does_not_fit_fails_its_mini_batch_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_ranges, "SAMPLE_BYTES", 100)
    path = write(tmp_path / "a.csv", "number,text\n" + "7,x\n" * 100 + "seven,x\n" + "8,x\n")
    slices, columns = cut(FORM, [path], 50)
    assert columns == (("number", "int64"), ("text", "str"))
    assert len(read([list(slices[0])], told(FORM, columns))) == slices[0].rows
    with pytest.raises(BadTable, match=r"a\.csv: row \d+ of this slice, which begins at byte \d+, column 'number': 'seven' is no int64"):
        read([list(slices[-1])], told(FORM, columns))


def test_a_quoted_line_break_in_the_sample_is_an_error_that_says_what_to_do(tmp_path: Path):
    for text in ('a,b\n1,"two\nlines"\n', 'a,"b\nc"\n1,2\n'):
        with pytest.raises(ConfigError, match="multi_line"):
            cut(FORM, [write(tmp_path / "a.csv", text)], 10)


def test_gaps_in_the_sample_make_floats_and_a_column_without_values_is_one(tmp_path: Path):
    path = write(tmp_path / "a.csv", "a,b,c\n1,,True\n,,\n")
    assert cut(FORM, [path], 100)[1] == (("a", "float64"), ("b", "float64"), ("c", "bool_with_gaps"))


def test_columns_are_checked_in_every_file_and_types_come_from_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_ranges, "SAMPLE_FILES", 2)
    paths = [write(tmp_path / f"{number}.csv", f"a\n{value}\n") for number, value in enumerate(["1", "2.5", "three"])]
    assert cut(FORM, paths, 100)[1] == (("a", "float64"),)
    with pytest.raises(ConfigError, match=r"other\.csv has other columns than .*0\.csv"):
        cut(FORM, [*paths, write(tmp_path / "other.csv", "b\n1\n")], 100)


def test_rows_are_counted_where_only_some_are_taken_and_where_a_file_can_only_be_read_from_its_start(tmp_path: Path):
    path = write(tmp_path / "a.csv", "a\n1\n2\n3\n")
    [piece] = cut(FORM, [path], 100, Window(1, 1))[0]
    assert (piece.first, piece.rows) == (1, 1)
    cutter = CsvCutter(FORM, None, ("a",))
    assert [keys for keys, _ in cutter.cut(Item(str(path), 8, 0), Window(0, None))] == [("1",), ("2",), ("3",)]


def test_a_line_that_never_ends_is_an_error_and_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(csv_ranges, "MOST_RECORD_BYTES", 10_000)
    monkeypatch.setattr(csv_ranges, "SAMPLE_BYTES", 1000)
    with pytest.raises(ConfigError, match=r"a\.csv: the record at byte .* does not end within"):
        cut(FORM, [write(tmp_path / "a.csv", "a\n1\n" + "x" * 100_000)], 50)
    with pytest.raises(ConfigError, match=r"a\.csv: the record at byte 0 does not end within"):
        cut(FORM, [write(tmp_path / "a.csv", "x" * 100_000)], 50)
