"""P1, P2 and P5 for tables: the same bytes whoever does what, through kills; and what is wrong is told in one clear error."""

import csv
import gzip
import json
import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from airflow_batchinfer.datasets import TabularDataset
from tests.integration.lab import Lab
from tests.integration.leftovers import wait_until

# Says of each row what it holds, and the types of its columns, which must be the same in every mini-batch.
TELLS = """
def run(mini_batch):
    kinds = ",".join(map(str, mini_batch.dtypes))
    return [f"{kinds} {row!r}" for row in mini_batch.itertuples(index=False, name=None)]
"""
SLOW = """
import time

def run(mini_batch):
    time.sleep(0.05)
    return mini_batch["number"].tolist()
"""
AWKWARD = ["plain", 'with "quotes"', "a,b", "two\nlines", "and\r\nwindows", "", " spaces ", "ümläut"]


def write(lab: Lab, name: str, rows: int, first: int = 0) -> Path:
    path = lab.inputs / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        written = csv.writer(stream)
        written.writerow(["number", "share", "text", "gap"])
        for number in range(first, first + rows):
            written.writerow([number, number / 7, AWKWARD[number % len(AWKWARD)], number if number % 90 else ""])
    return path


def expected(*files: Path) -> list[str]:
    """Of the whole read at once, which settles the types."""
    whole = pd.concat([pd.read_csv(file) for file in files], ignore_index=True)
    kinds = ",".join(map(str, whole.dtypes))
    return [f"{kinds} {row!r}" for row in whole.itertuples(index=False, name=None)]


def said(lab: Lab) -> list[str]:
    """The rows, of which some hold a line break that is escaped by repr."""
    return lab.rows


@pytest.mark.parametrize(("nodes", "processes"), [(1, 1), (3, 2)])
def test_p1_the_rows_of_tables_come_out_in_order_and_the_same_whatever_the_node_and_process_counts(lab: Lab, nodes: int, processes: int):
    files = [write(lab, "a.csv", 700), write(lab, "b/c.csv", 300, 700)]
    script = lab.script(TELLS)
    dataset = TabularDataset.from_csv(str(lab.inputs))
    pin = lab.begin(script, inputs=[dataset], mini_batch_size="2KB", node_count=nodes, process_count_per_node=processes)
    working = [lab.start_node(pin) for _ in range(nodes)]
    assert [node.wait().code for node in working] == [0] * nodes
    summary = lab.merge(pin)
    assert (summary.items, summary.rows) == (1000, 1000)
    assert summary.mini_batches > 10
    assert said(lab) == expected(*files)


def test_p2_a_command_killed_in_the_middle_of_a_table_goes_on_where_it_was(lab: Lab):
    write(lab, "a.csv", 2000)
    script = lab.script(SLOW)
    options = ("--table", "--mini-batch-size", "1KB", "--processes", 2)
    first = lab.start(script, *options, "--input", lab.inputs / "a.csv")
    wait_until(lambda: lab.jobs and lab.committed(lab.jobs[0].name), "something is committed", 30)
    first.send(signal.SIGKILL)
    first.wait()
    again = lab.run(script, *options, "--input", lab.inputs / "a.csv")
    assert again.summary["resumed"] > 0
    assert lab.rows == [str(number) for number in range(2000)]


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.GZ", "jsonl", "jsonl.gz", "parquet"])
def test_a_table_of_any_kind_is_known_by_the_ending_of_its_name(lab: Lab, ending: str):
    frame = pd.DataFrame({"number": range(50), "text": ["a", "b\nc"] * 25, "share": [0.5, 1.0] * 25})
    path = lab.inputs / f"table.{ending}"
    match ending.lower().removesuffix(".gz"):
        case "parquet":
            frame.to_parquet(path)
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
        case _:
            frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",", compression="gzip" if ending == "csv.GZ" else None)
    script = lab.script(TELLS)
    ended = lab.run(script, "--table", "--input", path, "--mini-batch-size", 300, "--processes", 1)
    assert ended.summary["rows"] == 50
    assert ended.summary["mini_batches"] == 1 if ending.lower().endswith("gz") else ended.summary["mini_batches"] > 1
    kinds = ",".join(map(str, frame.dtypes))
    assert lab.rows == [f"{kinds} {row!r}" for row in frame.itertuples(index=False, name=None)]


def test_a_folder_of_tables_is_known_by_the_files_in_it(lab: Lab):
    for name in ("_SUCCESS", "notes.txt"):
        (lab.inputs / name).touch()
    (lab.inputs / "store=north").mkdir()
    write(lab, "store=north/a.csv", 3)
    script = lab.script("def run(mini_batch):\n    return mini_batch['number'].tolist()\n")
    told = lab.run(script, "--table", "--input", lab.inputs / "store=north", "--partition-key", "store")
    assert lab.rows == ["0", "1", "2"]
    assert "so each call gets a row" not in told.stderr
    refused = lab.run(script, "--table", "--input", lab.inputs)
    assert (refused.code, "_SUCCESS is empty: it has no header; leave it out" in refused.stderr) == (2, True)


def test_a_size_that_was_meant_for_files_is_told_for_a_table(lab: Lab):
    told = lab.run(lab.script(TELLS), "--table", "--input", write(lab, "a.csv", 3), "--mini-batch-size", 10, "--processes", 1)
    assert "mini_batch_size=10: of tables that is bytes, so each call gets a row or few" in told.stderr


def test_columns_skip_and_take_choose_what_is_scored(lab: Lab):
    write(lab, "a.csv", 100)
    dataset = TabularDataset.from_csv(str(lab.inputs)).columns(["gap", "number"]).skip(10).take(25)
    lab.score(lab.script(TELLS), inputs=[dataset], mini_batch_size="200", process_count_per_node=1)
    assert lab.rows == [f"int64,int64 {(n, n)!r}" for n in range(10, 35)]  # of the rows that are taken none has a gap


@pytest.mark.parametrize(
    ("name", "option", "told"),
    [
        ("a.jsonl", "separator=;", "--table-option separator: tables of the format json_lines have only format, columns, types, encoding"),
        ("a.parquet", "types=a:str", "--table-option types: tables of the format parquet have only format, columns\n"),
        ("a.csv", "types=a", "--table-option types=a: give NAME:TYPE, such as a:int64,b:str"),
        ("a.csv", "separator=", "separator='': give one ASCII character"),
        ("a.parquet.gz", "format=parquet", "a.parquet.gz: a Parquet file is packed within, not as a whole; unpack it"),
    ],
)
def test_p5_options_that_say_nothing_of_a_table_are_refused_with_those_that_do(lab: Lab, name: str, option: str, told: str):
    (lab.inputs / name).write_text("")
    ended = lab.run(lab.script(TELLS), "--table", "--table-option", option, "--input", lab.inputs / name)
    assert (ended.code, told in ended.stderr) == (2, True), ended.stderr


def test_files_and_tables_in_one_step_are_refused(lab: Lab):
    write(lab, "a.csv", 3)
    ended = lab.run("names.py", "--input", "dataset:files")
    assert ended.code == 2
    pin_of_both = [TabularDataset.from_csv(str(lab.inputs)), lab.inputs]
    with pytest.raises(Exception, match="some are files and some are tables"):
        lab.begin("names.py", inputs=pin_of_both)


def test_a_size_in_bytes_of_files_is_refused(lab: Lab):
    lab.many(2)
    ended = lab.run("names.py", "--mini-batch-size", "1KB")
    assert (ended.code, "a size in bytes is for tables" in ended.stderr) == (2, True)


def two_gigabytes_without_a_line_end(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(b"a,b\n1,")
        stream.truncate(2 << 30)  # takes no disk


def truncated_parquet(path: Path) -> None:
    pd.DataFrame({"a": range(1000)}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:500])


WRONG = {
    "too many fields": ("table.csv", lambda path: path.write_text("a,b\n1,2\n1,2,3\n"), ("table.csv", "3")),
    "not UTF-8": ("table.csv", lambda path: path.write_bytes(b"a,b\n1,caf\xe9\n"), ("table.csv", "encoding")),
    "truncated Parquet": ("table.parquet", truncated_parquet, ("table.parquet", "Parquet")),
    "no Parquet": ("table.parquet", lambda path: path.write_text("a,b\n"), ("table.parquet", "Parquet")),
    "truncated gzip": ("table.csv.gz", lambda path: path.write_bytes(gzip.compress(os.urandom(1000))[:500]), ("table.csv.gz", "gzip")),
    "no JSON": ("table.jsonl", lambda path: path.write_text('{"a": 1}\n{"a": \n'), ("table.jsonl", "line 2")),
    "an endless line": ("table.csv", two_gigabytes_without_a_line_end, ("table.csv", "does not end within")),
    "nothing at all": ("table.csv", lambda path: path.write_text(""), ("table.csv",)),
}


@pytest.mark.parametrize("what", WRONG)
def test_p5_a_table_that_cannot_be_read_is_named_with_what_is_wrong_and_nothing_is_published(lab: Lab, what: str):
    name, make, told = WRONG[what]
    make(lab.inputs / name)
    ended = lab.run(lab.script(TELLS), "--table", "--input", lab.inputs / name)
    assert ended.code == 2, ended.stderr
    error = ended.stderr.removeprefix("looking at the inputs\n")
    assert all(word in error for word in told), error
    assert "Traceback" not in error
    assert lab.published == set()


def test_p5_a_column_that_is_not_there_is_named_with_those_that_are(lab: Lab):
    write(lab, "a.csv", 3)
    for option in ("columns=number,height", "types=height:int64"):
        ended = lab.run(lab.script(TELLS), "--table", "--input", lab.inputs / "a.csv", "--table-option", option)
        assert (ended.code, "height" in ended.stderr, "number" in ended.stderr) == (2, True, True), ended.stderr


def test_p5_a_table_that_changed_since_it_was_planned_fails_by_name(lab: Lab):
    path = write(lab, "a.csv", 10)
    pin = lab.begin(lab.script(TELLS), inputs=[TabularDataset.from_csv(str(path))], error_threshold=-1, run_max_try=1)
    write(lab, "a.csv", 11)
    node = lab.start_node(pin).wait()
    assert node.code == 0
    with pytest.raises(Exception, match="not one of 10 items succeeded") as raised:
        lab.merge(pin)
    assert "changed since planned" in str(raised.value)


def test_p5_without_multi_line_a_value_that_does_not_fit_the_sample_s_types_fails_its_mini_batch_and_is_named(lab: Lab):
    path = lab.inputs / "a.csv"
    path.write_text("number\n" + "".join(f"{number}\n" for number in range(200_000)) + "seven\n")
    options = ("--table", "--table-option", "multi_line=false", "--mini-batch-size", "100KB", "--error-threshold", -1, "--max-try", 1)
    ended = lab.run(lab.script(TELLS), *options, "--input", path)
    assert ended.summary["mini_batches_failed"] == 1
    [error] = lab.errors
    assert "'number'" in error["reason"]
    assert "seven" in error["reason"]
    assert "a.csv" in json.dumps(error)
