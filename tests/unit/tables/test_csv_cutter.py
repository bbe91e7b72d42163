"""CSV tables cut, settled and read by us, against pandas that reads all of it at once."""

import gzip
import re
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import FileDataset, TableForm, TabularDataset, list_items
from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.tables import chunks, streams
from airflow_batchinfer.tables.csv_cutter import CsvCutter
from airflow_batchinfer.tables.cutting import TableCut
from airflow_batchinfer.tables.slices import Window
from tests.unit.tables.csv_oracle import Refused, cut, cut_and_read, item, nasty_bytes, separators, whole, written_tables

FORM = TableForm("csv")
TEXT = 'number,text,gap\n1,"two\nlines",\n2,,5\n\n3,"say ""hi""",6\n4,x,7\n'


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def check_against_pandas(form: TableForm, content: bytes, most_bytes: int, chunk_bytes: int) -> None:
    """Equal values and types; and what pandas refuses we refuse, but where there is nothing at all and no header is asked for."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        path = write(Path(folder) / "a.csv", content)
        try:
            expected = whole(form, content)
        except Refused as error:
            if form.header or "No columns" not in str(error):
                with pytest.raises(ConfigError, match=r"a\.csv"):
                    cut(form, [path], most_bytes)
            return
        try:
            found = cut_and_read(form, [path], most_bytes)
        except ConfigError as error:
            loses = re.search(rb"(^|\xef\xbb\xbf|[\r\n])[ \t]*\r" + re.escape(form.separator.encode()), content)
            if loses and "would lose" in str(error):
                return
            raise
        pd.testing.assert_index_equal(found.columns, expected.columns)
        if len(expected):
            pd.testing.assert_frame_equal(found, expected, check_exact=True)
        assert len(found) == len(expected)


@given(written_tables(), st.integers(1, 200), st.integers(1, 60))
def test_the_rows_and_types_of_a_table_are_those_of_the_whole_read_at_once(
    table: tuple[TableForm, bytes], most_bytes: int, chunk_bytes: int
):
    check_against_pandas(*table, most_bytes, chunk_bytes)


@given(nasty_bytes, st.booleans(), separators, st.integers(1, 60), st.integers(1, 40))
def test_whatever_the_bytes_are_the_rows_are_those_of_pandas_or_both_refuse(
    content: bytes, header: bool, separator: str, most_bytes: int, chunk_bytes: int
):
    content = content.replace(b",", separator.encode())
    check_against_pandas(TableForm("csv", header=header, separator=separator), content, most_bytes, chunk_bytes)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "shift_jis", "gb18030", "euc_kr", "utf-8-sig", "UTF8"])
@pytest.mark.parametrize("chunk_bytes", [1, 1000])
def test_an_encoding_in_which_ascii_means_ascii_is_read_as_pandas_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, chunk_bytes: int
):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
    form = TableForm("csv", encoding=encoding)
    text = 'größe,"a\nb"\n1,é\n2,"x ""y"""\n' if encoding in ("cp1252", "latin-1") else '한,"a\nb"\n1,亅\n2,"x ""y"""\n'
    content = text.encode(encoding, "replace")
    pd.testing.assert_frame_equal(cut_and_read(form, [write(tmp_path / "a.csv", content)], 1), whole(form, content))


def test_a_slice_never_crosses_a_record_and_a_small_file_is_one_slice(tmp_path: Path):
    path = write(tmp_path / "a.csv", TEXT)
    found = [(path.read_bytes()[piece.start : piece.stop], piece.first, piece.rows) for piece in cut(FORM, [path], 1)[0]]
    assert found == [(b'1,"two\nlines",\n', 0, 1), (b"2,,5\n", 1, 1), (b'3,"say ""hi""",6\n', 2, 1), (b"4,x,7\n", 3, 1)]
    [piece] = cut(FORM, [path], 1 << 20)[0]
    assert (piece.first, piece.rows, piece.stop) == (0, 4, len(TEXT))


@given(st.integers(0, 6), st.none() | st.integers(0, 6), st.integers(1, 30), st.integers(1, 40))
def test_skip_and_take_count_rows_over_all_files(skip: int, take: int | None, most_bytes: int, chunk_bytes: int):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        paths = [write(Path(folder) / name, TEXT) for name in ("a.csv", "b.csv")]
        paths.insert(1, Path(folder) / "a.csv.gz")
        paths[1].write_bytes(gzip.compress(TEXT.encode()))
        slices, _ = cut(FORM, paths, most_bytes, Window(skip, take))
        rows = [(piece.path, piece.first + number) for piece in slices for number in range(piece.rows)]
        assert rows == [(str(path), number) for path in paths for number in range(4)][skip:][:take]
        found = cut_and_read(FORM, paths, most_bytes, Window(skip, take))
        numbers = [1, 2, 3, 4] * 3
        assert found["number"].tolist() == numbers[skip:][:take]


def test_types_are_those_of_the_rows_that_are_taken(tmp_path: Path):
    path = write(tmp_path / "a.csv", "a\nx\n1\n2\n2.5\n")
    assert cut(FORM, [path], 10, Window(1, 2))[1] == (("a", "int64"),)


def test_types_are_settled_over_all_files(tmp_path: Path):
    paths = [write(tmp_path / f"{number}.csv", f"a,b\n{value}\n") for number, value in enumerate(["1,", "2.5,True", "3,False"])]
    assert cut(FORM, paths, 10)[1] == (("a", "float64"), ("b", "bool_with_gaps"))
    found = cut_and_read(FORM, paths, 10)
    assert found["a"].tolist() == [1.0, 2.5, 3.0]
    assert found["b"].dropna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("a,c\n1,2\n", "column 2, .*two.csv calls it 'c' and .*one.csv calls it 'b'"),
        ("b,a\n1,2\n", "column 1, .*two.csv calls it 'b' and .*one.csv calls it 'a'"),
        ("a\n1\n", "column 2, .*two.csv has none and .*one.csv calls it 'b'"),
        ("a,b,c\n1,2,3\n", "column 3, .*two.csv calls it 'c' and .*one.csv has none"),
    ],
)
def test_files_with_other_columns_are_an_error_that_names_both_and_the_difference(tmp_path: Path, other: str, told: str):
    paths = [write(tmp_path / "one.csv", "a,b\n1,2\n"), write(tmp_path / "two.csv", other)]
    with pytest.raises(ConfigError, match=f"two.csv has other columns than .*one.csv: of {told}"):
        cut(FORM, paths, 10)


def test_a_header_that_is_written_otherwise_but_says_the_same_is_the_same(tmp_path: Path):
    paths = [write(tmp_path / "one.csv", "a,b\n1,2\n"), write(tmp_path / "two.csv", b'\xef\xbb\xbf"a","b"\r\n3,4\r\n')]
    assert cut_and_read(FORM, paths, 10)["a"].tolist() == [1, 3]


def test_without_a_header_columns_are_numbered_or_named(tmp_path: Path):
    paths = [write(tmp_path / "one.csv", "1,x\n2,y\n"), write(tmp_path / "two.csv", ""), write(tmp_path / "three.csv", "3,z\n")]
    assert cut(TableForm("csv", header=False), paths, 10)[1] == (("0", "int64"), ("1", "str"))
    named = TableForm("csv", header=False, names=("n", "t", "more"))
    assert cut_and_read(named, paths, 10)[["n", "t"]].to_numpy().tolist() == [[1, "x"], [2, "y"], [3, "z"]]
    with pytest.raises(ConfigError, match="first row has 2 values, and column_names name 1 columns"):
        cut(TableForm("csv", header=False, names=("n",)), paths, 10)


def test_declared_types_are_not_looked_for(tmp_path: Path):
    path = write(tmp_path / "a.csv", "a,b,c\n007,1,2024-01-02\n")
    form = TableForm("csv", types=(("a", "str"), ("b", "float64"), ("c", "datetime")))
    assert cut(form, [path], 10)[1] == (("a", "str"), ("b", "float64"), ("c", "datetime"))
    assert cut_and_read(form, [path], 10).iloc[0].tolist() == ["007", 1.0, pd.Timestamp("2024-01-02")]


def test_every_column_that_is_asked_for_and_not_there_is_told_at_once(tmp_path: Path):
    path = write(tmp_path / "a.csv", "a,b\n1,2\n")
    with pytest.raises(ConfigError) as raised:
        list(CsvCutter(TableForm("csv", types=(("x", "str"), ("y", "str"))), None, ("z",)).cut(item(path), Window(0, None)))
    assert [fault.partition(": ")[0] for fault in raised.value.faults] == ["types", "types", "partition_keys"]
    assert all("it has a, b" in fault for fault in raised.value.faults)


def test_a_run_of_equal_keys_is_one_slice_and_its_values_are_text(tmp_path: Path):
    path = write(tmp_path / "a.csv", 'x,key,other\n1,07,"a\nb"\n2,07,"a\nb"\n3,NA,\n\n4,,\n5,,c\n')
    cutter = CsvCutter(FORM, None, ("other", "key"))
    found = [(keys, piece.first, piece.rows) for keys, piece in cutter.cut(item(path), Window(0, None))]
    assert found == [(("a\nb", "07"), 0, 2), (("", "NA"), 2, 1), (("", ""), 3, 1), (("c", ""), 4, 1)]


WRONG = {
    "too many values": (b"a,b\n1,2\n\n3,4,5\n", r"row 1 \(at byte 9\) has 3 values where there are 2 columns; quote"),
    "too many in the first row": (b"a,b\n1,2,3\n", r"row 0 \(at byte 4\) has 3 values"),
    "an open quote": (b'a,b\n1,2\n3,"4\n5,6\n', r"row 1 \(at byte 8\) has a quote that is never closed"),
    "an open quote in the header": (b'a,"b\n1,2\n', r"the header \(at byte 0\) has a quote"),
    "not the encoding": (b"a,b\n1,caf\xe9\n", r"is not in utf-8: at byte 9 stands b'\\xe9\\n' .*encoding='cp1252'"),
    "no header": (b"", "is empty: it has no header"),
    "nothing but blanks": (b"\n  \n", "is empty: it has no header"),
}


@pytest.mark.parametrize("chunk_bytes", [1, 1000])
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_with_its_place_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, chunk_bytes: int):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
    content, told = WRONG[what]
    with pytest.raises(ConfigError, match=rf"a\.csv:? {told}"):
        cut(FORM, [write(tmp_path / "a.csv", content)], 10)


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path):
    slices, columns = cut(FORM, [write(tmp_path / "a.csv", "a,b\n")], 10)
    assert (slices, [name for name, _ in columns]) == ([], ["a", "b"])


def test_a_file_that_is_gone_is_named(tmp_path: Path):
    found = item(write(tmp_path / "a.csv", TEXT))
    (tmp_path / "a.csv").unlink()
    with pytest.raises(NotFoundError, match=r"a\.csv does not exist any more"):
        list(CsvCutter(FORM, 10, ()).cut(found, Window(0, None)))


@pytest.mark.parametrize("chunk_bytes", [1, 1000])
def test_a_gzip_file_is_one_slice_and_read_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
    path = write(tmp_path / "a.csv.gz", gzip.compress(TEXT.encode()) + gzip.compress(b"5,in a second member,8\n"))
    [piece] = cut(FORM, [path], 1)[0]
    assert (piece.first, piece.rows) == (0, 5)
    pd.testing.assert_frame_equal(cut_and_read(FORM, [path], 1), pd.read_csv(path))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_remote_file_is_read_in_ranges(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setattr(streams, "REQUEST_BYTES", 10)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7)
    packed = name.endswith(".gz")
    fsspec.filesystem("memory").pipe_file(f"/tables/{name}", gzip.compress(TEXT.encode()) if packed else TEXT.encode())
    [found] = list_items(FileDataset.from_files(f"memory://tables/{name}"))
    rows = [piece.rows for _, piece in CsvCutter(FORM, 1, ()).cut(found, Window(0, None))]
    assert rows == ([4] if packed else [1, 1, 1, 1])
    fsspec.filesystem("memory").rm(f"/tables/{name}")
    with pytest.raises(NotFoundError, match=name):
        list(CsvCutter(FORM, 1, ()).cut(found, Window(0, None)))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda packed: packed[:-20], "is truncated: it ends in the middle of its gzip data"),
        (lambda _: b"a,b\n1,2\n", "is no sound gzip file"),
        (lambda packed: packed[:20] + b"\xff\xff\xff" + packed[23:], "is no sound gzip file"),
    ],
    ids=["truncated", "not packed", "broken"],
)
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage, told: str):
    text = "a,b\n" + "".join(f"{number},{number * 31 % 97}\n" for number in range(1000))
    with pytest.raises(ConfigError, match=rf"a\.csv\.gz {told}"):
        cut(FORM, [write(tmp_path / "a.csv.gz", damage(gzip.compress(text.encode())))], 10)


@pytest.mark.parametrize("multi_line", [True, False])
def test_a_cut_that_breaks_off_lets_go_of_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multi_line: bool):
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 100)
    (tmp_path / "b.csv").write_text("other\n1\n")
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 20)
    before = set(threading.enumerate())
    broken_off = TableCut(TabularDataset.from_csv(str(tmp_path), multi_line=multi_line), 20)
    with pytest.raises(ConfigError, match="other columns"):
        list(broken_off.slices())
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()
