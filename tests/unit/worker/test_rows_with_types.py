"""What `run()` returned, for Parquet: with and without pyarrow in the script's interpreter, and the Arrow that comes of it."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_batchinfer.engine.result_file import as_stream
from airflow_batchinfer.worker import typed
from airflow_batchinfer.worker.formats import rows_of
from airflow_batchinfer.worker.kinds import Kind, Unwritable, arrow_type, told
from airflow_batchinfer.worker.rows import BadResult

UTC = dt.UTC
MIDNIGHT = dt.datetime.fromisoformat("2024-02-29T00:00:00.000001")


@pytest.fixture(params=["with pyarrow", "without"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "without":
        monkeypatch.setattr(typed, "arrow", lambda: None)
    return str(request.param)


def table(result: object, stamp: list[Any] | None = None) -> tuple[list[list[Any]], pa.Table]:
    """The schema that crosses the pipe, and the Arrow that the node has of the rows."""
    rows = rows_of(result, {"format": "parquet"}, stamp or [])
    with pa.ipc.open_stream(as_stream(rows.text, rows.schema or [])) as stream:
        found = stream.read_all()
    assert found.num_rows == rows.number
    assert found.column_names == [name for name, _ in rows.schema or []]
    return rows.schema or [], found


def kind_and_values(values: object) -> tuple[Kind, list[Any]]:
    ((_, kind),), found = table(pd.DataFrame({"a": values}) if isinstance(values, pd.Series) else [{"a": value} for value in values])
    assert found.schema.field("a").type == arrow_type(kind)
    return kind, found.column("a").to_pylist()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None], "bool"),
        ([1, None, -(2**63)], "int64"),
        ([1.5, None], "float64"),
        (["a", None, "ü"], "string"),
        ([dt.date(2024, 2, 29), None], "date"),
        ([MIDNIGHT, None], "timestamp"),
        ([MIDNIGHT.replace(tzinfo=UTC), None], "timestamp UTC"),
        ([[1, 2], [], None], ["list", "int64"]),
        ([["a"], [None]], ["list", "string"]),
        ([{"x": 1, "y": ["a"]}, {"x": None, "y": []}], ["struct", [["x", "int64"], ["y", ["list", "string"]]]]),
        ([[MIDNIGHT]], ["list", "timestamp"]),
        ([None, None], None),
        ([[], None], ["list", None]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("either")
def test_types_are_kept(values: list[object], kind: Kind):
    assert kind_and_values(values) == (kind, values)


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT], ids=repr)
@pytest.mark.usefixtures("either")
def test_what_is_missing_is_null(missing: object):
    assert kind_and_values([1, missing]) == ("int64", [1, None])
    assert kind_and_values([missing, missing]) == (None, [None, None])


NUMBERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.usefixtures("either")
def test_a_number_of_numpy_s_keeps_its_size_wherever_it_stands(name: str):
    array = np.array([1, 0], dtype=name)
    for values in (list(array), pd.Series(array)):
        assert kind_and_values(values) == (name, array.tolist())
    schema, found = table(array)
    assert (schema, found.column("result").to_pylist()) == ([["result", name]], array.tolist())
    assert kind_and_values([array]) == (["list", name], [array.tolist()])


@pytest.mark.parametrize(
    ("values", "kind", "first"),
    [
        (pd.Series(["x", None]).astype("category"), "string", "x"),
        (pd.Series([7, None]).astype("category"), "float64", 7.0),
        (pd.Series([7, None], dtype="Int32"), "int32", 7),
        (pd.Series([True, None], dtype="boolean"), "bool", True),
        (pd.Series(["x", None], dtype=object), "string", "x"),
        (pd.Series(["x", None]), "string", "x"),
        (pd.Series([0.1, None], dtype="float32"), "float32", float(np.float32(0.1))),
        (pd.Series(pd.to_datetime(["2024-02-29", None])), "timestamp", dt.datetime.fromisoformat("2024-02-29")),
        (
            pd.Series(pd.to_datetime(["2024-02-29", None]).tz_localize("Europe/Berlin")),
            "timestamp UTC",
            dt.datetime(2024, 2, 28, 23, tzinfo=UTC),
        ),
        (pd.Series([[1], None]), ["list", "int64"], [1]),
    ],
    ids=["category of text", "category of numbers", "Int32", "boolean", "object", "str", "float32", "datetime", "with a zone", "lists"],
)
def test_pandas_types_are_kept(values: "pd.Series[Any]", kind: Kind, first: object):
    assert kind_and_values(values) == (kind, [first, None])


@pytest.mark.usefixtures("either")
def test_timestamps_with_other_zones_are_one_type():
    zones = [dt.timezone(dt.timedelta(hours=hours)) for hours in (1, -5)]
    values = [dt.datetime(2024, 1, 1, 12, tzinfo=zone) for zone in zones]
    assert kind_and_values(values) == ("timestamp UTC", [value.astimezone(UTC) for value in values])


@pytest.mark.usefixtures("either")
def test_whole_numbers_among_others_are_others_and_infinity_is_a_number():
    assert kind_and_values([1, 2.5]) == ("float64", [1.0, 2.5])
    assert kind_and_values([float("inf")]) == ("float64", [float("inf")])


LOSSY = [
    ([dt.date(2024, 2, 29), MIDNIGHT], "date and timestamp"),
    ([MIDNIGHT, MIDNIGHT.replace(tzinfo=UTC)], "timestamp and timestamp UTC"),
    ([1.5, True], "float64 and bool"),
    ([np.bool_(True), 2], "bool and int64"),
    ([[dt.date(2024, 2, 29), MIDNIGHT]], "date and timestamp"),
    ([{"x": MIDNIGHT}, {"x": dt.date(2024, 2, 29)}], "struct<x timestamp> and struct<x date>"),
    (pd.Series([1.5, True], dtype=object), "float64 and bool"),
    ([Decimal("1.1"), 1.5], "values of type Decimal and float64"),
]


@pytest.mark.parametrize(("values", "both"), LOSSY, ids=range(len(LOSSY)))
@pytest.mark.usefixtures("either")
def test_values_of_two_kinds_in_one_column_are_a_bad_result_since_one_would_change(values: "list[object] | pd.Series[Any]", both: str):
    with pytest.raises(BadResult, match=f"the column 'a' cannot be written as Parquet: it holds {both}; make them one"):
        kind_and_values(values)


@pytest.mark.usefixtures("either")
def test_what_is_masked_is_null():
    masked = np.ma.masked_array(np.array([1, 2, 3], "int32"), [0, 1, 0])
    assert table(masked)[1].column("result").to_pylist() == [1, None, 3]
    assert kind_and_values(list(masked)) == ("int32", [1, None, 3])
    assert kind_and_values([masked]) == (["list", "int32"], [[1, None, 3]])
    assert kind_and_values(pd.Series([masked])) == (["list", "int32"], [[1, None, 3]])


@pytest.mark.usefixtures("either")
def test_dicts_in_a_column_have_all_the_keys_of_any_of_them_and_only_text():
    assert kind_and_values([{"x": 1}, {"y": 2}]) == (
        ["struct", [["x", "int64"], ["y", "int64"]]],
        [{"x": 1, "y": None}, {"x": None, "y": 2}],
    )
    with pytest.raises(BadResult, match="it holds a dict with the key 1, which is no text"):
        kind_and_values([{1: 1, "1": 2}])


@pytest.mark.usefixtures("either")
def test_numbers_of_several_sizes_are_the_larger_one():
    assert kind_and_values([np.int32(1), 2, np.uint8(3)]) == ("int64", [1, 2, 3])
    assert kind_and_values([np.float32(0.1), 0.5]) == ("float64", [float(np.float32(0.1)), 0.5])


def test_decimals_of_more_digits_than_parquet_has_are_a_bad_result():
    with pytest.raises(BadResult, match="it needs decimals of 40 digits, and Parquet has 38: round them"):
        kind_and_values([Decimal("1" * 40)])


def test_with_pyarrow_bytes_and_decimals_are_kept():
    assert kind_and_values([b"x\xff", None]) == ("bytes", [b"x\xff", None])
    assert kind_and_values([Decimal("1.10"), None]) == ("decimal(3, 2)", [Decimal("1.10"), None])


@pytest.mark.parametrize(
    "values",
    [
        [1, "a"],
        [[1], 1],
        [{"x": 1}, 2],
        [2**64],
        ["\ud83d"],
        [{}],
        [object()],
        [dt.timedelta(1)],
        [dt.time(1)],
        [pd.Timestamp(1)],
        [1 + 2j],
    ],
    ids=lambda values: type(values[0]).__name__ if type(values[0]) is object else str(values),
)
def test_what_parquet_cannot_hold_is_a_bad_result_that_names_the_column(values: list[object], either: str):
    told_why = "the column 'a' cannot be written as Parquet: "
    with pytest.raises(BadResult if either == "with pyarrow" else (BadResult, Unwritable), match=told_why):
        table([{"a": value} for value in values])


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(pd.to_timedelta([1])),
        pd.Series(pd.period_range("2024", periods=1)),
        pd.Series(pd.to_datetime([1])),
        pd.Series(pd.interval_range(0, 1)),
    ],
    ids=["timedelta", "period", "nanoseconds", "interval"],
)
def test_pandas_types_that_parquet_cannot_hold_are_bad_results(values: "pd.Series[Any]"):
    with pytest.raises(BadResult, match="the column 'a' cannot be written as Parquet: "):
        table(pd.DataFrame({"a": values}))


def test_nanoseconds_that_are_none_are_no_loss():
    assert kind_and_values(pd.Series(pd.to_datetime([1000], unit="ns")))[0] == "timestamp"
    assert kind_and_values([pd.Timestamp(1000), pd.NaT])[0] == "timestamp"


@pytest.mark.usefixtures("either")
def test_the_item_is_text_and_its_number_a_number_also_where_nobody_knows_them():
    stamp = [("item_file", "string", ["/in/caf\udce9", "/in/b"]), ("item_row", "int64", [4, None])]
    schema, found = table(["x", "y"], stamp)
    assert schema == [["item_file", "string"], ["item_row", "int64"], ["result", "string"]]
    assert found.to_pylist()[0] == {"item_file": "/in/caf\\xe9", "item_row": 4, "result": "x"}
    schema, found = table(["x"], stamp)
    assert schema == [["item_file", "string"], ["item_row", "int64"], ["result", "string"]]
    assert found.to_pylist() == [{"item_file": None, "item_row": None, "result": "x"}]


@pytest.mark.usefixtures("either")
def test_an_empty_frame_has_names_and_no_types():
    schema, found = table(pd.DataFrame({"a": pd.Series(dtype="int64"), "b": pd.Series(dtype=object)}))
    assert (schema, found.num_rows) == ([["a", None], ["b", None]], 0)


def test_a_kind_is_told_as_people_write_it():
    assert told(["list", ["struct", [["a", "int64"], ["b", None]]]]) == "list<struct<a int64, b null>>"
