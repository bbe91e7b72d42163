from collections.abc import Callable
from typing import Any

import pytest

from airflow_batchinfer.datasets import FileDataset, TabularDataset, dataset_from_plain
from airflow_batchinfer.errors import ConfigError

MADE = [
    TabularDataset.from_csv("in"),
    TabularDataset.from_csv(["a.csv", "b/*.csv"], header=False, column_names=["x", "y"], types={"x": "int64"}, encoding="latin-1"),
    TabularDataset.from_csv("in", separator=";", multi_line=False, partition_format="{day:yyyy-MM-dd}/{name}.csv").skip(3).take(5),
    TabularDataset.from_json_lines("in.jsonl", types={"when": "datetime"}).columns(["when", "what"]),
    TabularDataset.from_parquet("s3://conn@bucket/in", partition_format="{name}.parquet"),
]


def faults(make: Callable[[], Any]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        make()
    return raised.value.faults


@pytest.mark.parametrize("dataset", MADE, ids=str)
def test_a_table_comes_back_from_its_plain_and_its_stored_form(dataset: TabularDataset):
    assert dataset_from_plain(dataset.as_plain()) == dataset
    assert TabularDataset.from_json(dataset.to_json()) == dataset


def test_a_plain_form_says_of_which_kind_it_is():
    assert isinstance(dataset_from_plain(FileDataset.from_files("in").as_plain()), FileDataset)
    assert "not of files" in faults(lambda: FileDataset.from_plain(MADE[0].as_plain()))[0]
    assert "not a stored TabularDataset" in faults(lambda: TabularDataset.from_plain(FileDataset.from_files("in").as_plain()))[0]


@pytest.mark.parametrize("stored", ["{}", "no json", '{"kind": "table", "paths": ["a"], "form": {"kind": "csv", "what": 1}}'])
def test_what_is_no_stored_table_is_refused_as_such(stored: str):
    assert "not a stored TabularDataset" in faults(lambda: TabularDataset.from_json(stored))[0]


@pytest.mark.parametrize(
    ("path", "separator"), [("a.tsv", "\t"), ("A.TSV.gz", "\t"), (["a.tsv", "b.tab"], "\t"), (["a.tsv", "b.csv"], ","), ("in/", ",")]
)
def test_tsv_files_are_separated_by_tabs_unless_something_else_is_said(path: str | list[str], separator: str):
    assert TabularDataset.from_csv(path).form.separator == separator
    assert TabularDataset.from_csv(path, separator="|").form.separator == "|"


def test_rows_are_taken_and_skipped_as_slices_do():
    cut = TabularDataset.from_csv("in").skip(10).take(5).skip(2)
    assert (cut.start, cut.stop) == (12, 15)
    assert "give a whole number of rows" in faults(lambda: TabularDataset.from_csv("in").take(-1))[0]


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"separator": ";;"}, "separator=';;': give one ASCII character"),
        ({"separator": '"'}, "give one ASCII character"),
        ({"column_names": ["a"]}, "say header=False as well"),
        ({"header": False, "column_names": ["a", "a"]}, "column_names: 'a' stands there twice"),
        ({"types": {"a": "number"}}, "types: 'a' is 'number'; give one of int64, float64, bool, str, datetime"),
        ({"encoding": "utf-16"}, "convert the files to UTF-8"),
        ({"encoding": "klingon"}, "Python knows no such encoding"),
        ({"separator": ""}, "separator='': give one ASCII character"),
        ({"header": 0}, "header=0: give True or False"),
        ({"header": "false"}, "header='false': give True or False"),
        ({"multi_line": "false"}, "multi_line='false': give True or False"),
        ({"header": False, "column_names": "abc"}, "column_names='abc': give a list of names"),
        ({"header": False, "column_names": 5}, "column_names=5: give a list of names"),
        ({"header": False, "column_names": ["a", 5]}, "column_names: 5 is no name"),
        ({"types": ["a:int64"]}, "types=['a:int64']: give a dict of columns and types"),
        ({"types": [("a", "int64")]}, "types=[('a', 'int64')]: give a dict of columns and types"),
        ({"types": "a:int64"}, "types='a:int64': give a dict of columns and types"),
        ({"types": {5: "int64"}}, "types: 5 is no name"),
        ({"types": {"a": ["int64"]}}, "types: 'a' is ['int64']; give one of"),
        ({"encoding": 5}, "Python knows no such encoding"),
        ({"partition_format": "data.csv"}, "give a format with keys in braces"),
    ],
)
def test_what_cannot_be_read_that_way_is_refused_when_it_is_said(given: dict[str, Any], fault: str):
    assert any(fault in found for found in faults(lambda: TabularDataset.from_csv("in", **given)))


def test_one_error_lists_every_fault_of_a_table():
    assert len(faults(lambda: TabularDataset.from_csv("in", separator="ab", types={"a": "x", "b": "y"}, encoding="utf-16"))) == 4
    wrong: dict[str, Any] = {"header": 0, "types": "a", "partition_format": "x", "column_names": "a", "separator": ""}
    assert len(faults(lambda: TabularDataset.from_csv([], **wrong))) == 6


@pytest.mark.parametrize("names", [[], "a", ["a", "a"], ["a", ""], [1]])
def test_columns_are_a_list_of_names(names: Any):  # noqa: ANN401 - of every type
    assert faults(lambda: TabularDataset.from_csv("in").columns(names))
