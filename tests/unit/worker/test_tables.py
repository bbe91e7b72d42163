"""Slices of CSV as a script gets them. That they are what pandas makes of the whole, tests/unit/tables says."""

import gzip
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas._libs.parsers import STR_NA_VALUES

from airflow_batchinfer.worker.csv_slices import _MISSING
from airflow_batchinfer.worker.tables import BadTable, read

TEXT = "number,text,flag\n1,x,True\n2,,False\n3,y,True\n"


def table(columns: list[str] | None = None, **types: str) -> dict[str, Any]:
    types = types or {"number": "int64", "text": "str", "flag": "bool"}
    return {"kind": "csv", "separator": ",", "encoding": "utf-8", "names": list(types), "types": types, "columns": columns}


def cells(path: Path, start: int = 0, stop: int | None = None, first: int | None = 0, rows: int = 1) -> list[Any]:
    stat = path.stat()
    return [str(path), stat.st_size, stat.st_mtime_ns, start, stat.st_size if stop is None else stop, first, rows]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text(TEXT)
    return tmp_path / "a.csv"


def without_header(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "b.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_slices_are_one_frame_one_below_the_other(path: Path):
    found = read([cells(path, 17, 26, 0, 1), cells(path, 35, 44, 2, 1), cells(path, 26, 35, 1, 1)], table())
    assert found.equals(pd.read_csv(path).iloc[[0, 2, 1]].reset_index(drop=True))
    assert isinstance(found.index, pd.RangeIndex)


def test_columns_select_and_order_and_the_others_are_not_looked_at(tmp_path: Path):
    path = without_header(tmp_path, b"1,caf\xe9,no number\n2,y,3\n")
    found = read([cells(path, rows=2)], table(["flag", "number"], number="int64", text="str", flag="str"))
    assert found.to_dict("list") == {"flag": ["no number", "3"], "number": [1, 2]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found["new"] = 1  # a frame of the script's own


def test_a_column_that_is_not_there_is_named(path: Path):
    with pytest.raises(BadTable, match=r"a\.csv has no column 'height'; it has number, text, flag"):
        read([cells(path)], table(["height"]))


def test_a_file_that_changed_since_it_was_planned_is_not_read(path: Path):
    planned = cells(path, 17, rows=3)
    assert len(read([planned], table())) == 3
    os.utime(path, ns=(0, 0))
    with pytest.raises(BadTable, match=r"a\.csv changed since planned"):
        read([planned], table())
    planned[1:3] = [None, None]  # the node has looked
    assert len(read([planned], table())) == 3


def test_other_rows_than_were_planned_are_an_error(path: Path):
    with pytest.raises(BadTable, match=r"a\.csv holds 3 rows where 2 were planned"):
        read([cells(path, 17, rows=2)], table())


def test_a_file_is_called_as_it_was_planned_and_not_as_its_copy(path: Path):
    with pytest.raises(BadTable, match=r"^s3://b/k\.csv: row 7, column 'text': 'x' is no float64"):
        read([[*cells(path, 17, 26, 7), "s3://b/k.csv", None]], table(number="int64", text="float64", flag="bool"))
    with pytest.raises(BadTable, match=r"^s3://b/k\.csv cannot be read: it does not exist any more$"):
        read([["", None, None, 0, 1, 0, 1, "s3://b/k.csv", "cannot be read: it does not exist any more"]], table())


def test_a_file_that_cannot_be_had_is_named(path: Path):
    planned = cells(path)
    path.unlink()
    with pytest.raises(BadTable, match=r"a\.csv cannot be read: No such file"):
        read([planned], table())


def test_without_pandas_the_error_says_to_add_it(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadTable, match="has no pandas, which a table needs: add pandas to the requirements"):
        read([cells(path)], table())


def test_of_a_gzip_file_the_bytes_are_those_of_its_text(tmp_path: Path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    assert read([cells(path, 26, 35, 1)], table())["number"].tolist() == [2]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadTable, match=r"a\.csv\.gz cannot be read: .*ended before"):
        read([cells(path, 26, 1000, 1)], table())


MISFITS = {
    "a word": ("int64", "1\nseven\n", r"row 11, column 'a': 'seven' is no int64; correct it, or declare .*types=\{'a': 'str'\}"),
    "a fraction": ("int64", "1\n1.5\n", "row 11, column 'a': '1.5' is no int64"),
    "a gap among integers": ("int64", "1\nNA\n", "row 11, column 'a': a missing value is no int64"),
    "too large": ("int64", f"1\n{2**63}\n", f"row 11, column 'a': '{2**63}' is no int64"),
    "negative": ("uint64", f"{2**63}\n-1\n", "row 11, column 'a': '-1' is no uint64"),
    "text among floats": ("float64", "1.5\nx\n", "row 11, column 'a': 'x' is no float64"),
    "a number for a bool": ("bool", "True\n1\n", "row 11, column 'a': '1' is no bool"),
    "a gap among bools": ("bool", "True\nNA\n", "row 11, column 'a': a missing value is no bool"),
    "text among bools": ("bool_with_gaps", "True\nNA\nx\n", "row 12, column 'a': 'x' is no bool"),
    "a fraction among big integers": ("big_int", "1\n1.5\n", "row 11, column 'a': '1.5' is no big"),
    "a number for a bool, of numbers alone": ("bool", "1\n0\n", "row 10, column 'a': '1' is no bool"),
    "a number for a bool, and text": ("bool", "1\n0\nfoo\n", "row 10, column 'a': '1' is no bool"),
    "a float for an integer": ("int64", "1\n2.0\n", "row 11, column 'a': '2.0' is no int64"),
    "a float for an integer, and text": ("int64", "1\n2.0\nfoo\n", "row 11, column 'a': '2.0' is no int64"),
    "an integer that floats round": ("int64", "9007199254740993\n2.0\n", "row 11, column 'a': '2.0' is no int64"),
    "bools for floats": ("float64", "NA\nTrue\nfalse\n", "row 11, column 'a': 'True' is no float64"),
    "a bool among floats": ("float64", "1\nTrue\n0\n", "row 11, column 'a': 'True' is no float64"),
    "a nanosecond": ("datetime", "NA\n2024-01-02T00:00:00.123456001\n", "row 11, column 'a': '2024-01-02T00:00:00.123456001'"),
    "no time": ("datetime", "2024-01-02\nsoon\n", "row 11, column 'a': 'soon' is no datetime"),
}


@pytest.mark.parametrize("what", MISFITS)
def test_a_value_that_does_not_fit_its_type_is_named_with_file_row_and_column(tmp_path: Path, what: str):
    kind, text, told = MISFITS[what]
    with pytest.raises(BadTable, match=rf"b\.csv: {told}"):
        read([cells(without_header(tmp_path, text), first=10, rows=len(text.split()))], table(a=kind))


FITTING = {
    "int64": ["1", "+2", " -3 ", "\t4", '"\n5"', "9007199254740993", str(-(2**63))],
    "float64": ["1", "0", "1.5", "NA", "inf", "9007199254740993", "123456789012345678901234567890", " 2"],
    "bool": ["True", "FALSE", "true"],
    "datetime": ["2024-01-02", "NA", "9999-12-31", "2024-01-02T00:00:00.123456000", "2024-01-02T00:00:00+02:00"],
}
NOT_FITTING = {
    "int64": ["1.0", "NA", "x", str(2**63), "True", "1_0"],
    "float64": ["True", "x", "0x1", "1_0"],
    "bool": ["1", "0", "NA", "x", "1.0"],
    "datetime": ["soon", "1", "2024-01-02T00:00:00.0000001", "2024-02-30"],
}


@pytest.mark.parametrize("kind", FITTING)
def test_whether_a_value_fits_its_type_does_not_depend_on_its_neighbours(tmp_path: Path, kind: str):
    def fits(*values: str) -> bool:
        try:
            found = read([cells(without_header(tmp_path, "".join(f"{value}\n" for value in values)), rows=len(values))], table(a=kind))
        except BadTable as error:
            assert any(repr(value) in str(error) for value in values) or "a missing value" in str(error)  # noqa: PT017 - some are read
            return False
        assert len(found) == len(values)
        return True

    for good in FITTING[kind]:
        assert fits(good)
        assert all(fits(good, other) for other in FITTING[kind])
        assert not any(fits(good, bad) or fits(bad, good) for bad in NOT_FITTING[kind])
    assert not any(fits(*NOT_FITTING[kind][start:]) for start in range(len(NOT_FITTING[kind])))


def test_the_words_for_a_missing_value_are_those_of_pandas():
    assert STR_NA_VALUES == _MISSING


@pytest.mark.parametrize("text", ["007\n8\n", "NA\n18446744073709551616\n1.5\n", "True\n\nNA\n", "1.50\nnan\n", "NA\nNA\n"])
def test_text_is_text_as_it_stands_there_also_where_it_looks_like_numbers(tmp_path: Path, text: str):
    path = without_header(tmp_path, text)
    found = read([cells(path, rows=len(text.split()))], table(a="str"))["a"]
    assert found.equals(pd.read_csv(path, header=None, dtype="str")[0].rename("a"))


def test_times_are_read_to_the_microsecond_and_in_utc(tmp_path: Path):
    text = "2024-01-02\n2024-01-02T03:04:05.678901\n\n2024-01-02T00:00:00+02:00\nNA\n"
    found = read([cells(without_header(tmp_path, text), rows=4)], table(a="datetime"))["a"]
    assert str(found.dtype) == "datetime64[us]"
    expected = ["2024-01-02", "2024-01-02T03:04:05.678901", "2024-01-01T22:00:00", None]
    assert found.equals(pd.Series(expected, dtype="datetime64[us]"))
    nothing = read([cells(without_header(tmp_path, "NA\n"))], table(a="datetime"))["a"]
    assert str(nothing.dtype) == "datetime64[us]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,2\n", r"row 0 of this slice, which begins at byte 0 has 2 values where there are 1 columns"),
        ("1\n\n2,3\n", r"has 2 values where there are 1 columns"),
        ('1\n"2\n', "EOF inside string.*leave multi_line at True"),
        (b"1\n\xff\n", r"is not in utf-8: b'\\xff\\n'"),
    ],
)
def test_rows_that_nobody_counted_are_checked(tmp_path: Path, text: str | bytes, told: str):
    with pytest.raises(BadTable, match=rf"b\.csv.*{told}"):
        read([cells(without_header(tmp_path, text), first=None)], table(a="str"))


def test_a_slice_of_blank_lines_has_no_rows_but_all_types(tmp_path: Path):
    found = read([cells(without_header(tmp_path, "\n \n"), first=None)], table(a="int64", b="str", c="bool_with_gaps", d="datetime"))
    assert (len(found), str(found["a"].dtype), str(found["d"].dtype)) == (0, "int64", "datetime64[us]")


def test_another_encoding_is_decoded_and_its_faults_are_named(tmp_path: Path):
    path = without_header(tmp_path, "größe\n".encode("cp1252"))
    assert read([cells(path)], dict(table(a="str"), encoding="cp1252"))["a"].tolist() == ["größe"]
    path.write_bytes(b"1\n\x81\n")
    with pytest.raises(BadTable, match=r"b\.csv: row 1 or near it is not in cp1252: b'\\x81\\n'"):
        read([cells(path, rows=2)], dict(table(a="str"), encoding="cp1252"))
