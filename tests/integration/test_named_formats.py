"""Results as csv, JSON lines and Parquet: the same bytes whoever makes them, the item beside each row, and columns that do not fit."""

import csv
import io
import json
import signal
import venv
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import fsspec
import pandas as pd
import pytest
from pyarrow import parquet

from airflow_batchinfer.datasets import TabularDataset
from airflow_batchinfer.engine.merge import Summary
from airflow_batchinfer.engine.node import NodeOptions, work
from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.errors import ErrorBudgetSpent, ScriptError
from tests.integration.lab import Lab
from tests.integration.leftovers import wait_until
from tests.integration.test_p6_memory import MEGABYTE, measure

NAMES = ("rows.csv", "rows.JSONL", "rows.parquet")
MINI_BATCHES = 40

# Of each item a row. What `late` holds only some mini-batches know, so the columns are settled bit by bit.
FRAMES = """
import os, time
from pathlib import Path
import pandas as pd

def run(mini_batch):
    time.sleep(float(os.environ.get("SECONDS", "0")))
    numbers = [int(Path(item).name) for item in mini_batch]
    return pd.DataFrame({
        "number": numbers,
        "share": [number / 7 for number in numbers],
        "text": [f'row "{number}", of\\r\\nmany' for number in numbers],
        "late": pd.Series([f"late {number}" if number % 8 == 7 else None for number in numbers], dtype=object),
        "day": pd.to_datetime("2024-02-29") + pd.to_timedelta(numbers, unit="D"),
    })
"""
FRAME = pd.DataFrame(
    {
        "number": range(MINI_BATCHES),
        "share": [number / 7 for number in range(MINI_BATCHES)],
        "text": [f'row "{number}", of\r\nmany' for number in range(MINI_BATCHES)],
        "late": [f"late {number}" if number % 8 == 7 else None for number in range(MINI_BATCHES)],
        "day": pd.date_range("2024-02-29", periods=MINI_BATCHES, unit="us"),
    }
)
# What stands in STATE_DIR under an item's name is what it is told to do, once or always.
OBEYS = """
import os
from pathlib import Path

def run(mini_batch):
    rows = []
    for name in (Path(item).name for item in mini_batch):
        if name.startswith("flaky") and not (mark := Path(os.environ["STATE_DIR"], name)).exists():
            mark.touch()
            raise ValueError("the first time never works")
        rows.append({"name": name, "size": "large"} if "odd" in name else {"name": name, "size": 1})
    return rows
"""


def result(lab: Lab, name: str) -> bytes:
    return (lab.output / name).read_bytes()


def rows(lab: Lab, name: str) -> list[dict[str, Any]]:
    """The rows of a result; of csv all values are text."""
    content = result(lab, name)
    if name.endswith(".csv"):
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    if name.endswith(".parquet"):
        return parquet.read_table(io.BytesIO(content)).to_pylist()
    return [json.loads(line) for line in content.splitlines()]


def score(lab: Lab, script: Path, name: str, **asked: object) -> Summary:
    return lab.score(script, **{"append_row_file_name": name, "process_count_per_node": 1, **asked})


@pytest.mark.parametrize("name", NAMES)
def test_p1_the_bytes_are_the_same_whatever_the_node_and_process_counts_and_through_kills(lab: Lab, name: str):
    lab.items(*(f"{number:03d}" for number in range(MINI_BATCHES)))
    script = lab.script(FRAMES)
    asked = {"append_row_file_name": name, "mini_batch_size": 1, "allow_reuse": False}
    made = []
    for nodes, processes, seconds in ((1, 2, "0"), (2, 1, "0.05")):
        lab.variables["SECONDS"] = seconds
        pin = lab.begin(script, node_count=nodes, process_count_per_node=processes, **asked)
        working = [lab.start_node(pin, map_index=index) for index in range(nodes)]
        if seconds == "0.05":
            wait_until(lambda pin=pin: len(lab.committed(pin.job)) > 5, "something is committed")
            for node in working:
                lab.kill(node.pid, signal.SIGKILL)
                node.wait()
            working = [lab.start_node(pin, map_index=0, try_number=2)]
        assert [node.wait().code for node in working] == [0] * len(working)
        assert lab.merge(pin).rows == MINI_BATCHES
        made.append(result(lab, name))
    assert made == made[:1] * 2


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "rows.csv": lambda path: pd.read_csv(path, parse_dates=["day"]),
    "rows.JSONL": lambda path: pd.read_json(path, lines=True).astype({"day": "datetime64[us]"}),
    "rows.parquet": pd.read_parquet,
}


@pytest.mark.parametrize("name", NAMES)
def test_pandas_reads_what_the_script_returned(lab: Lab, name: str):
    lab.items(*(f"{number:03d}" for number in range(MINI_BATCHES)))
    score(lab, lab.script(FRAMES), name, mini_batch_size=3, process_count_per_node=2)
    read = READERS[name](lab.output / name)
    pd.testing.assert_frame_equal(read, FRAME, check_dtype=name.endswith("parquet"))
    if name.endswith("parquet"):
        assert [str(kind) for kind in parquet.read_schema(lab.output / name).types] == [
            "int64",
            "double",
            "string",
            "string",
            "timestamp[us]",
        ]


def test_duckdb_reads_every_type_of_a_parquet_result_as_it_was_returned(lab: Lab):
    lab.items("1", "2", "3")
    text = """
import datetime, decimal
from pathlib import Path
import numpy as np

def run(mini_batch):
    (n,) = (int(Path(item).name) for item in mini_batch)
    return [{
        "whole": n, "small": np.uint8(n), "half": n / 2, "short": np.float32(n), "even": n % 2 == 0, "text": f"{n}é", "bytes": bytes([n]),
        "day": datetime.date(2024, 2, 29), "moment": datetime.datetime(2024, 2, 29, 1, 2, 3, 456), "price": decimal.Decimal("1.50") * n,
        "list": [n, None], "struct": {"a": n, "b": "x"}, "gap": None if n == 2 else n, "nothing": None,
    }]
"""
    score(lab, lab.script(text), "r.parquet", mini_batch_size=1)
    read = duckdb.read_parquet(f"{lab.output}/r.parquet")
    types = "BIGINT UTINYINT DOUBLE FLOAT BOOLEAN VARCHAR BLOB DATE TIMESTAMP DECIMAL(3,2) BIGINT[] STRUCT(a_BIGINT,b_VARCHAR) BIGINT"
    assert [str(kind).replace(", ", ",").replace(" ", "_") for kind in read.types] == [*types.split(), "VARCHAR"]
    moment = pd.Timestamp("2024-02-29 01:02:03.000456").to_pydatetime()
    told = [
        (f"{n}é", bytes([n]), moment.date(), moment, Decimal("1.50") * n, [n, None], {"a": n, "b": "x"}, None if n == 2 else n, None)
        for n in (1, 2, 3)
    ]
    found = read.fetchall()
    assert [row[:5] for row in found] == [(n, n, n / 2, n, n % 2 == 0) for n in (1, 2, 3)]
    assert [row[5:] for row in found] == told


def test_csv_has_one_header_and_ends_its_lines_as_rfc_4180_says(lab: Lab):
    lab.many(5)
    score(
        lab,
        lab.script('def run(mini_batch):\n    return [{"a": item[-1], "b c": None} for item in mini_batch]\n'),
        "r.csv",
        mini_batch_size=2,
    )
    assert result(lab, "r.csv") == b"a,b c\r\n0,\r\n1,\r\n2,\r\n3,\r\n4,\r\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_result_is_published_again_with_the_same_bytes_where_another_run_wants_it(lab: Lab, name: str):
    lab.items("1", "2", "3")
    options = (lab.script(FRAMES), "--append-row-file-name", name, "--mini-batch-size", 1, "--processes", 1)
    first = lab.run(*options).summary
    again = lab.run(*options, "--output", lab.root / "again").summary
    assert (again["reused"], again["output_sha256"]) == (True, first["output_sha256"])
    assert (lab.root / "again" / name).read_bytes() == result(lab, name)
    assert again["output_bytes"] == len(result(lab, name))


@pytest.mark.parametrize(("name", "rows_of_nothing"), [("r.csv", b""), ("r.jsonl", b""), ("r.parquet", None)])
def test_an_input_without_files_gives_a_file_that_can_be_read(lab: Lab, name: str, rows_of_nothing: bytes | None):
    options = ("--append-row-file-name", name, "--allow-empty", "--input", lab.inputs)
    assert lab.run("names.py", *options).summary["rows"] == 0
    if rows_of_nothing is None:
        assert len(pd.read_parquet(lab.output / name)) == 0
    else:
        assert result(lab, name) == rows_of_nothing


# The item beside each row.

ECHO = "def run(mini_batch):\n    return [item.rpartition('/')[2] for item in mini_batch]\n"


@pytest.mark.parametrize("name", NAMES)
def test_each_row_stands_beside_its_item(lab: Lab, name: str):
    lab.items("a", "deep/b", "c")
    lab.run(lab.script(ECHO), "--append-row-file-name", name, "--include-item", "--mini-batch-size", 2, "--processes", 1)
    found = rows(lab, name)
    assert [(row["item"], row["result"]) for row in found] == [(str(lab.inputs / path), path[-1]) for path in ("a", "c", "deep/b")]
    assert list(found[0]) == ["item", "result"]


def test_an_item_that_was_fetched_is_called_as_in_the_plan_and_one_that_was_lost_takes_no_row(lab: Lab):
    memory, folder = fsspec.filesystem("memory"), uuid4().hex
    for letter in "abcd":
        memory.pipe_file(f"/{folder}/{letter}", letter.encode())
    pin = lab.begin(
        lab.script(ECHO),
        inputs=[f"memory://{folder}"],
        append_row_file_name="r.csv",
        include_item=True,
        mini_batch_size=3,
        error_threshold=1,
    )
    memory.pipe_file(f"/{folder}/b", b"changed since")
    work(lab.workspace, pin, NodeOptions(environment_variables=lab.variables))
    assert lab.merge(pin).items_failed == 1
    assert rows(lab, "r.csv") == [{"item": f"memory:///{folder}/{letter}", "result": letter} for letter in "acd"]


def test_where_the_script_returns_more_or_fewer_rows_than_items_their_item_is_null(lab: Lab):
    lab.items("a", "b", "c")
    script = lab.script("def run(mini_batch):\n    return mini_batch[:1] if len(mini_batch) > 1 else [1, 2]\n")
    score(lab, script, "r.jsonl", include_item=True, mini_batch_size=2, error_threshold=1)
    assert [row["item"] for row in rows(lab, "r.jsonl")] == [None, None, None]


def test_rows_of_a_table_stand_beside_their_file_and_number(lab: Lab):
    for name, count in (("a.csv", 300), ("b.csv", 120)):
        frame = pd.DataFrame({"x": range(count), "text": [f"two\nlines {number}" for number in range(count)]})
        frame.to_csv(lab.inputs / name, index=False)
    script = lab.script("def run(mini_batch):\n    return mini_batch[['text']]\n")
    dataset = TabularDataset.from_csv(str(lab.inputs)).skip(7)
    summary = score(lab, script, "r.parquet", inputs=[dataset], include_item=True, mini_batch_size="1KB")
    assert summary.mini_batches > 3
    found = pd.read_parquet(lab.output / "r.parquet")
    assert list(found) == ["item_file", "item_row", "text"]
    assert len(found) == 413
    for file, of_file in found.groupby("item_file"):
        there = pd.read_csv(str(file)).iloc[of_file["item_row"]]
        assert there["text"].tolist() == of_file["text"].tolist()


def test_a_result_that_has_no_columns_has_no_place_for_the_item(lab: Lab):
    lab.items("a")
    ended = lab.run("names.py", "--include-item")
    assert ended.code == 2
    assert "'parallel_run_step.txt' is text, which has no columns" in ended.stderr


# Columns that do not fit.


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
def test_another_shape_costs_only_its_own_mini_batch_and_is_told_with_both(lab: Lab, name: str):
    lab.items("a", "b", "c", "d")
    text = """
from pathlib import Path

def run(mini_batch):
    names = [Path(item).name for item in mini_batch]
    return [{"name": name, "size": 1} if name != "c" else {"name": name, "colour": 2} for name in names]
"""
    summary = score(lab, lab.script(text), name, mini_batch_size=1, process_count_per_node=1, error_threshold=1, run_max_try=2)
    assert (summary.items_failed, summary.rows) == (1, 3)
    assert [row["name"] for row in rows(lab, name)] == ["a", "b", "d"]
    (error,) = lab.errors
    assert error["key"] == "bad result: there is no column 'size'"
    assert error["attempts"] == 2
    assert "Columns of mini-batch 2: name" in error["reason"]
    assert "of mini-batch 0: name" in error["reason"]


def test_another_type_matters_in_parquet_alone(lab: Lab):
    lab.items("a", "b-odd", "c")
    script = lab.script(OBEYS)
    assert score(lab, script, "r.csv", mini_batch_size=1).rows == 3
    with pytest.raises(ErrorBudgetSpent) as raised:
        score(lab, script, "r.parquet", mini_batch_size=1, process_count_per_node=1)
    assert "the column 'size' is string, not int64" in str(raised.value)
    assert not (lab.output / "r.parquet").exists()


def test_dicts_in_json_lines_may_be_different_each_time(lab: Lab):
    lab.items("a", "b-odd", "c")
    score(lab, lab.script(OBEYS), "r.jsonl", mini_batch_size=1)
    assert [row["size"] for row in rows(lab, "r.jsonl")] == [1, "large", 1]


def test_where_the_result_would_depend_on_who_comes_first_the_job_fails_and_says_why(lab: Lab):
    lab.items("flaky-odd", "g", "h")
    with pytest.raises(ScriptError) as raised:
        score(lab, lab.script(OBEYS), "r.parquet", mini_batch_size=1, process_count_per_node=1, error_threshold=-1)
    assert "the result would depend on which mini-batch comes first: in mini-batch 0 the column 'size' is string, not int64" in str(
        raised.value
    )
    assert not lab.published


# An interpreter that has nothing.


def test_a_script_whose_interpreter_has_no_pyarrow_makes_the_same_parquet(lab: Lab):
    lab.items(*(str(number) for number in range(10)))
    script = lab.script(
        """
from datetime import datetime, timezone
from pathlib import Path

def run(mini_batch):
    numbers = [int(Path(item).name) for item in mini_batch]
    at = datetime(2024, 2, 29, tzinfo=timezone.utc)
    return [{"n": n, "half": n / 2, "name": f"n{n}" if n % 2 else None, "tags": ["x"] * n, "at": at, "none": None} for n in numbers]
"""
    )
    made = []
    venv.create(lab.root / "bare")
    for environment in (PythonEnvironment.from_interpreter(str(lab.root / "bare/bin/python")), None):
        score(lab, script, "r.parquet", mini_batch_size=3, environment=environment, include_item=True)
        made.append(result(lab, "r.parquet"))
    assert made[0] == made[1]
    assert rows(lab, "r.parquet")[3]["tags"] == ["x", "x", "x"]


# Parts of a mini-batch.


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_were_made_in_parts_are_in_order_beside_their_items(lab: Lab, name: str):
    lab.items("a", "b", "c-poison", "d", "e")
    text = """
from pathlib import Path

def run(mini_batch):
    if any("poison" in item for item in mini_batch):
        raise ValueError("poison")
    return [{"name": Path(item).name} for item in mini_batch]
"""
    asked = {"mini_batch_size": 5, "include_item": True, "isolate_failures": True, "error_threshold": 1, "run_max_try": 1}
    assert score(lab, lab.script(text), name, **asked).items_failed == 1
    assert [(row["item"], row["name"]) for row in rows(lab, name)] == [(str(lab.inputs / letter), letter) for letter in "abde"]


def test_p6_merging_parquet_takes_no_more_memory_for_ten_times_the_rows(lab: Lab):
    script = lab.script("import numpy\ndef run(mini_batch):\n    return numpy.arange(100_000.0) + len(mini_batch)\n")
    grown = []
    for count in (10, 100):
        folder = lab.root / f"items-{count}"
        lab.items(*(f"{number:05d}" for number in range(count)), folder=folder)
        asked = {"inputs": [folder], "output": lab.root / f"out-{count}", "append_row_file_name": "r.parquet"}
        pin = lab.begin(script, mini_batch_size=1, process_count_per_node=2, **asked)
        lab.start_node(pin).wait()
        merged = measure(lab, "merge", lab.workspace_url, pin.path)
        assert merged["found"] == count * 100_000
        grown.append(merged["grown"])
    assert grown[1] < grown[0] + 24 * MEGABYTE
