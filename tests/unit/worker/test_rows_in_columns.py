"""What `run()` returned, as csv and JSON lines: which columns it has, and how each value is written."""

import csv
import datetime as dt
import io
import json
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.worker.formats import rows_of
from airflow_batchinfer.worker.rows import BadResult, Rows

FORMATS = ("csv", "jsonl", "parquet")
STAMP = [("item", "string", ["/in/a", "/in/b"])]


class Tensor:
    """As those of TensorFlow and torch: an array when it is asked for one."""

    def __init__(self, values: object) -> None:
        self._values = np.asarray(values)
        self.shape = self._values.shape

    def __iter__(self) -> Iterator[object]:
        return iter([Tensor(value) for value in self._values])

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self._values


def written(result: object, result_format: str, stamp: list[Any] | None = None) -> Rows:
    return rows_of(result, {"format": result_format}, stamp or [])


def as_csv(result: object, stamp: list[Any] | None = None) -> str:
    """The rows behind the header."""
    rows = written(result, "csv", stamp)
    return rows.text[rows.header_bytes :].decode()


def as_lines(result: object, stamp: list[Any] | None = None) -> list[Any]:
    return [json.loads(line) for line in written(result, "jsonl", stamp).text.splitlines()]


def names(result: object, result_format: str = "csv") -> list[str] | None:
    schema = written(result, result_format).schema
    return None if schema is None else [name for name, _ in schema]


# Which columns.


@pytest.mark.parametrize(
    "result",
    [
        lambda: ["a", "b"],
        lambda: ("a", "b"),
        lambda: (each for each in "ab"),
        lambda: dict.fromkeys("ab").keys(),
        lambda: np.array(["a", "b"]),
        lambda: pd.Series(["a", "b"], index=[7, 3]),
        lambda: pd.Index(["a", "b"]),
    ],
    ids=["list", "tuple", "generator", "keys", "array", "series", "index"],
)
@pytest.mark.parametrize("result_format", FORMATS)
def test_what_has_no_columns_of_its_own_is_the_column_result(result: Callable[[], object], result_format: str):
    rows = written(result(), result_format)
    assert rows.number == 2
    assert [name for name, _ in rows.schema or []] == ["result"]


def test_dicts_give_the_columns_that_any_of_them_has_in_the_order_in_which_they_appear():
    rows = [{"b": 1, "a": 2}, {"a": 3, "c": "x"}, {}]
    assert names(iter(rows)) == ["b", "a", "c"]
    assert as_csv(rows) == "1,2,\r\n,3,x\r\n,,\r\n"


def test_dicts_are_json_lines_as_they_are_and_may_be_others_each_time():
    rows = [{"b": 1, "a": 2}, {"a": 3, 4: {5: None}}, {}]
    assert as_lines(rows) == [{"b": 1, "a": 2}, {"a": 3, "4": {"5": None}}, {}]
    assert written(rows, "jsonl").schema is None


def test_a_frame_gives_its_columns_by_their_names_as_text_and_no_index():
    frame = pd.DataFrame({"b": [1, 2], 7: ["x", "y"], ("a", 1): [True, None]}, index=[5, 9])
    assert names(frame) == ["b", "7", "('a', 1)"]
    assert as_csv(frame) == "1,x,True\r\n2,y,\r\n"
    assert as_lines(frame) == [{"b": 1, "7": "x", "('a', 1)": True}, {"b": 2, "7": "y", "('a', 1)": None}]


def test_an_array_of_rows_is_a_row_each_which_is_a_list():
    array = np.array([[1.5, 2], [3, 4]])
    assert as_lines(array) == [{"result": [1.5, 2.0]}, {"result": [3.0, 4.0]}]
    assert as_csv(array) == '"[1.5, 2.0]"\r\n"[3.0, 4.0]"\r\n'
    assert as_lines(np.zeros((1, 2, 2), dtype=int)) == [{"result": [[0, 0], [0, 0]]}]


def test_tensors_of_other_libraries_are_arrays():
    assert as_lines(Tensor([1.5, 2])) == [{"result": 1.5}, {"result": 2.0}]
    assert as_lines([Tensor(1), Tensor([1, 2])]) == [{"result": 1}, {"result": [1, 2]}]
    assert as_lines([{"scores": Tensor([[1, 2]]), "deep": [Tensor(3)]}]) == [{"scores": [[1, 2]], "deep": [3]}]


@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize(
    ("result", "columns"),
    [([], None), ((), None), (pd.DataFrame(), None), (pd.DataFrame(columns=["a", "b"]), ["a", "b"]), (np.array([]), ["result"])],
    ids=["list", "tuple", "frame", "frame with columns", "array"],
)
def test_no_row_is_a_result(result: object, columns: list[str] | None, result_format: str):
    rows = written(result, result_format)
    assert (rows.number, rows.text[rows.header_bytes :] if result_format != "parquet" else b"") == (0, b"")
    assert columns == (None if rows.schema is None else [name for name, _ in rows.schema])


@pytest.mark.parametrize("result_format", FORMATS)
@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "returned None"),
        ("text", "returned a str"),
        ({"a": 1}, "returned a dict; return a list"),
        (3, "is not a list"),
        ([{"a": 1}, None], "row 1 is of type NoneType; return a dict for every row"),
        ([1, {"a": 1}], "row 0 is of type int"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns called 'a'"),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), "two columns called '1'"),
        ([{1: 1, "1": 2}], "two columns called '1'"),
        (pd.DataFrame(index=[1, 2]), "a DataFrame of 2 rows without a column"),
        ([{"\ud83d": 1}], "not valid Unicode"),
    ],
)
def test_what_makes_no_columns_is_a_bad_result(result: object, why: str, result_format: str):
    with pytest.raises(BadResult, match=why):
        written(result, result_format)


@pytest.mark.parametrize("result_format", ["csv", "parquet"])
def test_dicts_without_a_key_make_no_columns(result_format: str):
    with pytest.raises(BadResult, match="empty dicts"):
        written([{}, {}], result_format)


def test_a_generator_that_raises_raises():
    def rows():
        yield "a"
        raise ValueError("poison")

    for result_format in FORMATS:
        with pytest.raises(ValueError, match="poison"):
            written(rows(), result_format)


# How values are written.


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), np.float32("nan")], ids=repr)
def test_what_is_missing_is_empty_in_csv_and_null_in_json(missing: object):
    assert as_csv([{"a": missing, "b": 1}]) == ",1\r\n"
    assert as_lines([{"a": missing, "b": [missing]}]) == [{"a": None, "b": [None]}]
    assert as_lines(pd.DataFrame({"a": pd.Series([missing], dtype=object)})) == [{"a": None}]


VALUES = [
    (True, "True", True),
    (np.bool_(False), "False", False),
    (np.int8(3), "3", 3),
    (2**80, str(2**80), 2**80),
    (0.1, "0.1", 0.1),
    (np.float64(0.1), "0.1", 0.1),
    (np.float32(0.1), "0.1", 0.1),
    (np.str_("s"), "s", "s"),
    (dt.date(2024, 2, 29), "2024-02-29", "2024-02-29"),
    (dt.datetime.fromisoformat("2024-02-29T01:02:03"), "2024-02-29T01:02:03", "2024-02-29T01:02:03"),
    (pd.Timestamp("2024-02-29T01:02:03Z"), "2024-02-29T01:02:03+00:00", "2024-02-29T01:02:03+00:00"),
    (np.datetime64("2024-02-29T01:02:03", "s"), "2024-02-29T01:02:03", "2024-02-29T01:02:03"),
    (dt.time(1, 2), "01:02:00", "01:02:00"),
    (Decimal("1.10"), "1.10", "1.10"),
    (uuid.UUID(int=1), str(uuid.UUID(int=1)), str(uuid.UUID(int=1))),
    (PurePosixPath("/a b"), "/a b", "/a b"),
    ((1, 2.5), '"[1, 2.5]"', [1, 2.5]),
    ({"k": [None, "ü"]}, '"{""k"": [null, ""ü""]}"', {"k": [None, "ü"]}),
    (np.array([0.1, np.nan], dtype="float32"), '"[0.1, null]"', [0.1, None]),
    (np.array([[1], [2]]), '"[[1], [2]]"', [[1], [2]]),
]


@pytest.mark.parametrize(("value", "in_csv", "in_json"), VALUES, ids=[f"{type(value).__name__} {text}" for value, text, _ in VALUES])
def test_a_value_is_written_as_people_read_it(value: object, in_csv: str, in_json: object):
    assert as_csv([{"a": value, "b": 1}]) == f"{in_csv},1\r\n"
    assert as_lines([value]) == ([{"result": in_json}] if not isinstance(value, dict) else [in_json])
    assert as_lines(pd.DataFrame({"a": pd.Series([value], dtype=object)})) == [{"a": in_json}]


def test_the_columns_of_a_frame_are_written_by_their_types():
    frame = pd.DataFrame(
        {
            "when": pd.to_datetime(["2024-01-01", None]),
            "zone": pd.to_datetime(["2024-01-01", None]).tz_localize("Europe/Berlin"),
            "kind": pd.Categorical(["x", None]),
            "whole": pd.array([2**62 + 1, None], dtype="Int64"),
            "short": np.array([0.1, np.nan], dtype="float32"),
            "flag": pd.array([True, None], dtype="boolean"),
            "text": ["a", None],
        }
    )
    first = {
        "when": "2024-01-01T00:00:00",
        "zone": "2024-01-01T00:00:00+01:00",
        "kind": "x",
        "whole": 2**62 + 1,
        "short": 0.1,
        "flag": True,
        "text": "a",
    }
    assert as_lines(frame) == [first, dict.fromkeys(first)]
    assert as_csv(frame) == ",".join(map(str, first.values())) + "\r\n,,,,,,\r\n"


def test_bytes_are_no_text():
    for result_format in ("csv", "jsonl"):
        with pytest.raises(BadResult, match="returned bytes, which is neither text nor a number; decode it"):
            written([{"a": b"x"}], result_format)


def test_what_is_masked_is_missing():
    masked = np.ma.masked_array([[1, 2], [3, 4]], [[0, 1], [0, 0]])
    assert as_lines(masked) == [{"result": [1, None]}, {"result": [3, 4]}]
    assert as_csv(masked[0]) == '1\r\n""\r\n'
    assert as_lines([{"a": masked[0], "b": np.ma.masked}]) == [{"a": [1, None], "b": None}]


@pytest.mark.parametrize("result_format", ["csv", "jsonl"])
def test_a_dict_of_which_two_keys_are_the_same_text_is_a_bad_result(result_format: str):
    with pytest.raises(BadResult, match="two keys that are '1' as text"):
        written([{"a": {1: "x", "1": "y"}}], result_format)


def test_infinity_in_a_list_is_a_bad_result_also_in_csv_since_the_list_is_json():
    assert as_csv([[1.5, float("nan")]]) == '"[1.5, null]"\r\n'
    with pytest.raises(BadResult, match="the column 'result' holds an infinite number, which JSON cannot say"):
        as_csv([[float("inf")]])


def test_infinity_is_written_in_csv_and_refused_in_json_which_has_none():
    assert as_csv([float("inf"), -np.inf]) == "inf\r\n-inf\r\n"
    for result in ([float("inf")], [1, float("inf")], pd.DataFrame({"result": [np.inf]}), [[float("inf")]]):
        with pytest.raises(BadResult, match="the column 'result' holds an infinite number, which JSON cannot say"):
            written(result, "jsonl")
    with pytest.raises(BadResult, match="a row holds an infinite number"):
        written([{"a": float("inf")}], "jsonl")


def test_the_name_of_a_file_that_is_no_unicode_is_its_bytes_in_csv_and_an_escape_in_json():
    assert written(["caf\udce9"], "csv").text == b"result\r\ncaf\xe9\r\n"
    assert written(["日本", "caf\udce9"], "jsonl").text == '{"result":"日本"}\n{"result":"caf\\udce9"}\n'.encode()
    assert as_lines(["caf\udce9"]) == [{"result": "caf\udce9"}]


def test_names_of_columns_are_quoted_as_json_has_it():
    frame = pd.DataFrame({'a "b" %s': [1], "100%": ["%"]})
    assert as_lines(frame) == [{'a "b" %s': 1, "100%": "%"}]


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1))
def test_any_text_comes_back_from_csv_and_from_json(rows: list[tuple[str, str]]):
    result = [{"a": a, "b": b} for a, b in rows]
    assert [tuple(row) for row in csv.reader(io.StringIO(as_csv(result), newline=""))] == rows
    assert as_lines(pd.DataFrame(result)) == result


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_a_number_comes_back_as_it_was(numbers: list[float]):
    assert [row["result"] for row in as_lines(numbers)] == numbers
    assert [float(line) for line in as_csv(numbers).splitlines()] == numbers


def test_text_is_written_as_rfc_4180_says():
    assert as_csv([{"a": 'the "best"', "b": "x,y"}, {"a": "two\r\nlines", "b": " "}]) == '"the ""best""","x,y"\r\n"two\r\nlines", \r\n'


# The item beside each row.


@pytest.mark.parametrize(
    ("result", "row"), [(["x", "y"], {"result": "y"}), ([{"a": 1}, {"a": 2}], {"a": 2}), (pd.DataFrame({"a": [1, 2]}), {"a": 2})]
)
def test_the_item_stands_before_each_row(result: object, row: dict[str, object]):
    assert as_lines(result, STAMP)[1] == {"item": "/in/b", **row}
    assert next(iter(as_lines(result, STAMP)[1])) == "item"
    assert as_csv(result, STAMP).splitlines()[1].startswith("/in/b,")
    assert (written(result, "csv", STAMP).schema or [])[0][0] == "item"


@pytest.mark.parametrize("result", [["x"], ["x"] * 3, [{"a": 1}]])
def test_where_there_is_not_a_row_for_each_item_nobody_knows_whose_a_row_is(result: list[object]):
    assert [row["item"] for row in as_lines(result, STAMP)] == [None] * len(result)
    assert as_csv(result, STAMP).startswith(",")


@pytest.mark.parametrize("result", [[{"item": 1}], pd.DataFrame({"a": [1], "item": [2]})], ids=["dicts", "frame"])
@pytest.mark.parametrize("result_format", FORMATS)
def test_a_column_of_the_script_s_own_in_the_place_of_the_item_is_a_bad_result(result: object, result_format: str):
    with pytest.raises(BadResult, match="a column 'item', which include_item adds itself; call it something else"):
        written(result, result_format, STAMP)


def test_no_row_gets_no_item():
    assert written([], "csv", STAMP) == Rows(0, b"")
