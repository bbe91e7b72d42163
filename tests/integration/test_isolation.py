"""One bad item costs one item: a mini-batch whose tries are used up is halved until the items that fail are found."""

import json
import re
import signal
from collections.abc import Collection, Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pandas
import pytest

from airflow_batchinfer.datasets import TabularDataset
from airflow_batchinfer.engine.isolation import Isolation
from airflow_batchinfer.errors import UserError
from tests.faults.s3_server import S3Server, s3_options, s3_server
from tests.integration.lab import Lab
from tests.integration.leftovers import wait_until

ISOLATE = ("--isolate-failures", "--max-try", 1, "--processes", 1)


def failed_names(lab: Lab) -> list[str]:
    return [Path(item).name for error in lab.errors for item in error["items"]]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raises.py", "ValueError: poison among 1 items"),
        ("segfaults.py", "the worker process was killed by SIGSEGV"),
        ("returns_none.py", ""),
    ],
)
def test_one_bad_item_costs_one_item_whatever_it_does(lab: Lab, script: str, reason: str):
    if script == "returns_none.py":
        script = str(lab.script("def run(items):\n    return None if any('poison' in item for item in items) else items\n"))
        lab.many(40, poison=(13,))
        expected = [str(path) for path in sorted(lab.inputs.iterdir()) if "poison" not in path.name]
        reason = "bad result: run() returned None"
    else:
        expected = [row for row in lab.many(40, poison=(13,)) if "poison" not in row]
    summary = lab.run(script, *ISOLATE, "--mini-batch-size", 20, "--error-threshold", 1).summary
    assert lab.rows == expected
    assert (summary["items_failed"], summary["mini_batches_failed"], summary["rows"]) == (1, 0, 39)
    (error,) = lab.errors
    assert (failed_names(lab), error["items_failed"]) == (["00013-poison"], 1)
    assert error["reason"].startswith(reason)
    calls = summary["attempts"] - 2
    assert 2 * 4 <= calls <= 2 * 5
    assert error["attempts"] == 1 + calls / 2


def test_an_item_that_hangs_is_found_by_the_timeouts_of_the_parts_that_hold_it(lab: Lab):
    expected = lab.many(4, poison=(2,))
    ended = lab.run("hangs.py", *ISOLATE, "--timeout", 1, "--error-threshold", 1)
    assert lab.rows == expected[:2] + expected[3:]
    (error,) = lab.errors
    assert (failed_names(lab), error["attempts"]) == (["00002-poison"], 3)
    assert error["reason"] == "timed out: run() took longer than 1 s"
    assert ended.summary["attempts"] == 1 + 4


def test_items_that_fail_only_together_all_succeed_and_the_log_says_so(lab: Lab):
    expected = lab.items(*(f"{number:02d}" for number in range(6)), "02-left", "07-right")
    ended = lab.run("fails_together.py", *ISOLATE)
    assert lab.rows == expected
    assert (ended.summary["items_failed"], ended.summary["attempts"], lab.errors) == (0, 3, [])
    assert "mini-batch 0: 0 of 8 items failed, found in 2 calls" in ended.stderr


def test_the_log_has_a_line_that_it_isolates_and_one_with_what_it_found(lab: Lab):
    lab.many(30, poison=(3, 17))
    told = lab.run("raises.py", *ISOLATE, "--mini-batch-size", 10, "--error-threshold", 2).stderr.splitlines()
    begun = [line for line in told if "is halved until the items that fail are found: ValueError: poison among 10 items" in line]
    found = [
        line for line in told if f"1 of 10 items failed, found in 6 calls: {lab.inputs}/00017-poison (ValueError: poison among 1" in line
    ]
    assert [len(begun), len(found)] == [2, 1]
    assert sum("poison among 5 items" in line for line in told) == 0


def test_each_failed_item_is_named_with_its_own_traceback_attempts_and_reason(lab: Lab):
    lab.items(*(f"{number:02d}" for number in range(14)), "03-key", "11-value")
    lab.run("fails_by_name.py", "--isolate-failures", "--max-try", 2, "--processes", 1, "--mini-batch-size", 16, "--error-threshold", 2)
    errors = {Path(error["items"][0]).name: error for error in lab.errors}
    assert list(errors) == ["03-key", "11-value"]
    assert errors["03-key"]["reason"] == "KeyError: '03-key'"
    assert errors["11-value"]["reason"] == "ValueError: 11-value"
    assert (errors["03-key"]["key"], errors["11-value"]["key"]) == ("KeyError at fails_by_name.py:13", "ValueError at fails_by_name.py:15")
    assert "raise KeyError(file.name)\nKeyError: " in errors["03-key"]["traceback"]
    assert "raise ValueError(file.name)\nValueError: 11-value" in errors["11-value"]["traceback"]
    # Twice with all, then with eight, four, two and one.
    assert [error["attempts"] for error in lab.errors] == [6, 6]
    assert lab.calls == ["16", "16", "8", "8", *["4"] * 4, *["2"] * 4, *["1"] * 4]


def test_too_few_rows_of_a_part_are_missing_from_that_part(lab: Lab):
    rows = lab.items(*(f"{number}" for number in range(6)), "1-short", "6-value")
    summary = lab.run("fails_by_name.py", *ISOLATE, "--error-threshold", 2).summary
    assert lab.rows == [row for row in rows if "short" not in row and "value" not in row]
    assert (summary["items_failed"], summary["mini_batches_failed"], summary["mini_batches_with_fewer_rows"]) == (2, 0, 1)
    missing, failed = lab.errors
    assert [Path(item).name for item in missing["items"]] == ["0", "1", "1-short", "2"]
    assert (missing["reason"], missing["items_failed"]) == ("run() returned 3 rows for 4 items, so 1 failed", 1)
    assert [Path(item).name for item in failed["items"]] == ["6-value"]


def test_an_item_that_cannot_be_read_is_told_beside_those_that_fail(lab: Lab):
    rows = lab.many(8, poison=(6,))
    pin = lab.begin("raises.py", isolate_failures=True, run_max_try=1, error_threshold=2)
    (lab.inputs / "00001").unlink()
    assert lab.start_node(pin).wait().code == 0
    summary = lab.merge(pin)
    assert lab.rows == [row for row in rows if not row.startswith(("00001", "00006"))]
    assert (summary.items_failed, summary.rows, summary.mini_batches_with_fewer_rows) == (2, 6, 0)
    assert failed_names(lab) == ["00001", "00006-poison"]
    assert lab.errors[0]["reason"] == "cannot be read: No such file or directory"


def test_when_the_calls_are_used_up_the_undecided_rest_counts_as_failed_and_says_so(lab: Lab):
    # Of 16 calls, 14 decide nothing but that each pair holds a bad item.
    rows = lab.many(32, poison=range(0, 16, 2))
    summary = lab.run("raises.py", *ISOLATE, "--mini-batch-size", 16, "--error-threshold", 16).summary
    decided = lab.rows
    assert decided == [rows[1], *rows[16:]]
    assert (summary["items_failed"], summary["mini_batches_failed"], summary["attempts"]) == (15, 0, 1 + 16 + 1)
    assert [len(error["items"]) for error in lab.errors] == [1, *[2] * 7]
    assert sorted(failed_names(lab)) == sorted(path.name for path in sorted(lab.inputs.iterdir())[:16] if path.name != "00001")
    assert lab.errors[1]["reason"] == (
        "not decided which of these items fail, since no call was left; the last that held them failed: ValueError: poison among 2 items"
    )


def test_a_mini_batch_of_which_no_item_succeeds_failed_with_every_item_named(lab: Lab):
    rows = lab.many(6, poison=(2, 3))
    summary = lab.run("raises.py", *ISOLATE, "--mini-batch-size", 2, "--error-threshold", 2).summary
    assert lab.rows == rows[:2] + rows[4:]
    assert (summary["items_failed"], summary["mini_batches_failed"], summary["attempts"]) == (2, 1, 3 + 2)
    assert [(error["attempts"], len(error["items"])) for error in lab.errors] == [(2, 1), (2, 1)]
    assert failed_names(lab) == ["00002-poison", "00003-poison"]


def test_a_mini_batch_of_one_item_costs_no_extra_call(lab: Lab):
    lab.many(3, poison=(1,))
    summary = lab.run("raises.py", "--isolate-failures", "--mini-batch-size", 1, "--max-try", 2, "--error-threshold", 1).summary
    assert (summary["attempts"], summary["mini_batches_failed"]) == (4, 1)


def test_a_mini_batch_that_succeeds_with_a_later_try_is_not_isolated(lab: Lab):
    rows = lab.many(10, poison=(4,))
    summary = lab.run("flaky.py", "--isolate-failures").summary
    assert lab.rows == rows
    assert summary["attempts"] == 2


def test_what_counts_rows_only_is_isolated_as_well(lab: Lab):
    lab.many(8, poison=(5,))
    summary = lab.run("raises.py", *ISOLATE, "--output-action", "summary_only", "--error-threshold", 1).summary
    assert (summary["rows"], summary["items_failed"]) == (7, 1)
    assert failed_names(lab) == ["00005-poison"]


def test_the_header_of_the_text_format_stands_once_above_the_rows_of_all_parts(lab: Lab):
    script = lab.script(
        "import pandas\nfrom pathlib import Path\ndef run(items):\n    assert not any('poison' in item for item in items)\n"
        "    return pandas.DataFrame({'name': [Path(item).name for item in items]})\n"
    )
    settings = {"append_row": {"pandas.DataFrame.to_csv": {"header": True}}}
    script.with_name("parallel_run_step.settings.json").write_text(json.dumps(settings))
    lab.many(16, poison=(9, 10))
    lab.run(script, *ISOLATE, "--mini-batch-size", 8, "--error-threshold", 2)
    assert lab.rows == ["name", *(f"{number:05d}" for number in range(16) if number not in (9, 10))]


# Nodes.


def named_by_halving(items: int, bad: Collection[int]) -> set[int]:
    """Which items count as failed: the bad ones, and those that no call is left for."""
    isolation = Isolation(items, "it failed")
    while part := isolation.part:
        isolation.enter("it failed" if any(number in bad for number in range(part.start, part.stop)) else None)
    return {number for blamed in [*isolation.failed, *isolation.undecided] for number in range(blamed.part.start, blamed.part.stop)}


def test_rows_come_out_in_input_order_and_with_the_same_bytes_for_one_node_and_for_four(lab: Lab):
    bad = {2: (3, 4), 5: (0,), 7: (0, 3, 5, 9), 8: (0, 1), 11: (9,)}
    rows = lab.many(120, poison=[10 * tens + number for tens, numbers in bad.items() for number in numbers])
    costs = {10 * tens + number for tens, numbers in bad.items() for number in named_by_halving(10, numbers)}
    assert len(costs) > sum(map(len, bad.values())), "the calls do not reach everywhere"
    found = set()
    for nodes, processes in ((1, 1), (4, 1), (1, 3)):
        lab.output = lab.root / f"output-{nodes}-{processes}"
        asked = {"mini_batch_size": 10, "run_max_try": 2, "error_threshold": 40, "process_count_per_node": processes}
        pin = lab.begin("raises.py", node_count=nodes, isolate_failures=True, allow_reuse=False, **asked)
        for node in [lab.start_node(pin, map_index=index) for index in range(nodes)]:
            assert node.wait().code == 0, node.stderr
        summary = lab.merge(pin)
        assert lab.rows == [row for number, row in enumerate(rows) if number not in costs]
        assert (summary.items_failed, sum(error["items_failed"] for error in lab.errors)) == (len(costs), len(costs))
        found.add((lab.result, re.sub(r"batchinfer-node-\w+", "", (lab.output / "_errors.jsonl").read_text()), summary.attempts))
    assert len(found) == 1


@pytest.mark.parametrize("victim", ["node", "keeper", "worker"])
def test_what_is_killed_while_it_isolates_is_resumed_with_the_same_rows_and_errors(lab: Lab, victim: str):
    rows = lab.many(32, poison=(5, 20))
    lab.variables["SECONDS"] = "0.1"
    options = ("notes_calls.py", "--isolate-failures", "--max-try", 1, "--mini-batch-size", 16, "--processes", 1, "--error-threshold", 3)
    command = lab.start(*options)
    wait_until(lambda: len(lab.calls) > 16 + 8, "the first mini-batch is being isolated")
    lab.kill({"node": [command.pid], "keeper": command.keepers(), "worker": command.workers()}[victim][0])
    if victim == "node":
        assert command.wait().code == -signal.SIGKILL
        wait_until(lambda: not lab.leftovers, "its workers are gone")
        assert [path for job in lab.jobs for path in job.glob("segments/*")] == []
        command = lab.start(*options)
    summary = command.wait().summary
    failed = failed_names(lab)
    assert lab.rows == [row for row in rows if row.partition(":")[0] not in failed]
    assert summary["items_failed"] == len(failed)
    if victim == "node":
        assert (summary["attempts"], failed) == (2 + 2 * 8, ["00005-poison", "00020-poison"])
        assert [error["attempts"] for error in lab.errors] == [5, 5]
    else:  # the part that was running failed, as any that kills its worker does; it may have been an item alone
        assert {"00005-poison", "00020-poison"} <= set(failed)
        assert len(failed) <= 3


DIES_LATE = """
import os, signal, time
from pathlib import Path

def run(items):
    names = [Path(item).name for item in items]
    if any("value" in name for name in names):
        raise ValueError(f"{len(names)} items")
    if any("kill" in name for name in names):
        time.sleep(0.3)  # so that what waits behind this call is there
        os.kill(os.getpid(), signal.SIGKILL)
    return names
"""


def test_a_part_that_waits_behind_a_call_that_kills_the_worker_is_given_again(lab: Lab):
    # Short calls are handed out many at a time. So when the first bad one fails, the next is running already, and the part waits behind it.
    names = [f"{number:03d}" for number in range(320)]
    names += ["320", "321-value", *(f"{number}" for number in range(322, 328)), *(f"{number}" for number in range(328, 335)), "335-kill"]
    lab.items(*names)
    summary = lab.run(lab.script(DIES_LATE), *ISOLATE, "--mini-batch-size", 8, "--error-threshold", 2).summary
    assert lab.rows == [name for name in names if "-" not in name]
    # Every call counts once: one of each mini-batch, and six of each that holds a bad item.
    assert (summary["attempts"], summary["items_failed"]) == (42 + 2 * 6, 2)
    assert failed_names(lab) == ["321-value", "335-kill"]
    assert [error["attempts"] for error in lab.errors] == [4, 4]


WAITS = """
import os
import time
from pathlib import Path

def run(items):
    names = [Path(item).name for item in items]
    with Path(os.environ["STATE_DIR"], f"calls-{os.getpid()}").open("a") as calls:
        calls.write(f"{os.environ['MARK']} {' '.join(names)}\\n")
    if any("value" in name for name in names):
        raise ValueError(names)
    while not all(Path(os.environ["GATES"], name.partition("-")[2]).exists() for name in names):
        time.sleep(0.02)
    return [f"{name} {os.environ['MARK']}" for name in names]
"""


def test_a_node_that_lost_its_block_while_it_isolated_drops_its_parts_when_it_wakes(lab: Lab):
    lab.items("0-value", "1", "2", "3-part", "4", "5", "6", "7-whole")
    gates = {name: lab.root / name for name in ("A", "B")}
    for folder in gates.values():
        folder.mkdir()
    for name in ("part", "whole"):
        (gates["B"] / name).touch()
    variables = {name: {**lab.variables, "GATES": str(folder), "MARK": name} for name, folder in gates.items()}
    asked = {"mini_batch_size": 4, "process_count_per_node": 2, "run_max_try": 1, "error_threshold": 1, "isolate_failures": True}
    pin = lab.begin(lab.script(WAITS), **asked)
    zombie = lab.start_node(pin, environment_variables=variables["A"], name="A")
    wait_until(lambda: {"A 2 3-part", "A 4 5 6 7-whole"} <= set(lab.calls), "a part and a whole mini-batch of one block wait")
    tree = zombie.tree()
    for pid in tree:
        lab.kill(pid, signal.SIGSTOP)
    second = lab.start_node(pin, environment_variables=variables["B"], try_number=2, name="B").wait(120)
    assert second.code == 0, second.stderr
    (gates["A"] / "whole").touch()
    for pid in tree:
        lab.kill(pid, signal.SIGCONT)
    ended = zombie.wait(120)
    assert ended.code == 0, ended.stderr
    assert "was taken over by another node" in ended.stderr
    summary = lab.merge(pin)
    assert lab.rows == ["1 B", "2 B", "3-part B", "4 B", "5 B", "6 B", "7-whole B"]
    assert (summary.items_failed, failed_names(lab), summary.attempts) == (1, ["0-value"], 6)


# Thresholds.


def test_exactly_as_many_found_as_allowed_are_not_too_many_and_one_more_aborts_at_once(lab: Lab):
    lab.items(*(f"{number:03d}{'-value' if number in (5, 6, 40) else ''}" for number in range(64)))
    options = ("fails_by_name.py", *ISOLATE, "--mini-batch-size", 64)
    assert lab.run(*options, "--error-threshold", 3).summary["items_failed"] == 3
    whole = len(lab.calls)
    failed = lab.run(*options, "--error-threshold", 0, "--no-reuse", "--output", lab.root / "strict")
    assert failed.code == 1
    # The larger parts come first; then of the single items only those up to the first that fails.
    assert lab.calls[whole:].count("1") <= 2
    assert lab.calls[:whole].count("1") >= 4
    assert "1 item failed, more than error_threshold=0 allows" in failed.stderr
    lines = failed.stderr.splitlines()
    assert lines[-2] == f"ValueError at fails_by_name.py:15: this cost 1 item in 1 mini-batch, first {lab.inputs}/005-value"
    assert "ValueError: 005-value" in lines[-5:-3]
    assert not (lab.root / "strict" / "parallel_run_step.txt").exists()


def test_what_was_isolated_and_committed_counts_with_what_is_found(lab: Lab):
    lab.items(*(f"{number:03d}{'-value' if number in (3, 20, 21) else ''}" for number in range(32)))
    failed = lab.run("fails_by_name.py", *ISOLATE, "--mini-batch-size", 16, "--error-threshold", 1)
    assert failed.code == 1
    assert "2 items failed, more than error_threshold=1 allows" in failed.stderr
    assert "this cost 2 items in 2 mini-batches" in failed.stderr
    command = failed.stderr.rpartition("Every failure: batchinfer ")[2].split()
    told = [json.loads(line) for line in lab.batchinfer(*command).stdout.splitlines()]
    assert [error["items"] for error in told] == [[f"{lab.inputs}/020-value"], [f"{lab.inputs}/003-value"]]


def test_what_one_node_finds_before_it_has_committed_it_ends_all_nodes_of_the_run(lab: Lab):
    names = ["000-value", *(f"{number:03d}" for number in range(1, 400))]
    lab.items(*names)
    pin = lab.begin("fails_by_name.py", mini_batch_size=2, node_count=2, process_count_per_node=1, run_max_try=1, isolate_failures=True)
    first = lab.start_node(pin, map_index=0).wait()
    assert first.code == 1
    assert not any(
        record.pieces and 0 in {piece.mini_batch for piece in record.pieces} for log in lab.block_logs(pin.job) for record in log
    )
    before = len(lab.calls)
    second = lab.start_node(pin, map_index=1).wait(10)
    assert second.code == 1
    for ended in (first, second):
        assert "1 item failed, more than error_threshold=0 allows" in ended.stderr
        assert "ValueError: 000-value" in ended.stderr
    assert len(lab.calls) == before
    with pytest.raises(UserError, match=r"ValueError: 000-value[\s\S]*1 item failed, more than error_threshold=0 allows"):
        lab.merge(pin)


def test_an_abort_while_isolating_ends_only_the_run_that_decided_it(lab: Lab):
    names = [f"{number:03d}{'-value' if number == 3 else ''}" for number in range(64)]
    rows = lab.items(*names)
    options = ("fails_by_name.py", *ISOLATE, "--mini-batch-size", 16)
    strict = lab.run(*options, "--error-threshold", 0, "--output", lab.root / "strict")
    assert strict.code == 1
    summary = lab.run(*options, "--error-threshold", 1).summary
    assert lab.rows == [row for row in rows if "value" not in row]
    assert (summary["items_failed"], len(lab.jobs)) == (1, 1)


# Elsewhere.


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.make_bucket("bucket")
        yield server


@pytest.mark.services
def test_items_on_s3_are_fetched_once_for_all_parts(lab: Lab, s3: S3Server):
    folder = uuid4().hex
    client = boto3.client("s3", endpoint_url=s3.url, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    for number in range(8):
        client.put_object(Bucket="bucket", Key=f"{folder}/{number}{'-poison' if number == 6 else ''}", Body=b"x")
    client.close()
    environment = {"FSSPEC_S3": json.dumps(s3_options(s3.url))}
    summary = lab.run(
        "marks_copies.py", *ISOLATE, "--input", f"s3://bucket/{folder}", "--error-threshold", 1, environment=environment
    ).summary
    # Seen with all, and then in each part that held it.
    assert lab.rows == ["0: 2", "1: 2", "2: 2", "3: 2", "4: 3", "5: 3", "7: 4"]
    assert (failed_names(lab), summary["attempts"]) == (["6-poison"], 7)
    assert lab.errors[0]["items"] == [f"s3://bucket/{folder}/6-poison"]
    assert not list(lab.temporary.glob("batchinfer-node-*"))


# Rows of tables.

BAD_ROWS = """
def run(mini_batch):
    if (bad := mini_batch[mini_batch["kind"] == "bad"]).size:
        raise ValueError(f"{len(bad)} bad rows of {len(mini_batch)}")
    return mini_batch["n"].tolist()
"""


def table(lab: Lab, rows: int, bad: Collection[int], kind: str) -> Path:
    frame = pandas.DataFrame({"n": range(rows), "kind": ["bad" if number in bad else "good" for number in range(rows)]})
    path = lab.inputs / f"table.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path, row_group_size=100, index=False)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_one_bad_row_of_a_table_costs_one_row_and_is_named_by_file_and_number(lab: Lab, kind: str):
    path = table(lab, 1000, (123, 777), kind)
    options = ("--table", "--input", path, "--mini-batch-size", "4KB", "--error-threshold", 2)
    summary = lab.run(lab.script(BAD_ROWS), *ISOLATE, *options).summary
    assert lab.rows == [str(number) for number in range(1000) if number not in (123, 777)]
    assert (summary["items"], summary["items_failed"], summary["mini_batches_failed"]) == (1000, 2, 0)
    assert summary["mini_batches"] > 2
    assert [error["items"] for error in lab.errors] == [[f"{path} row 123"], [f"{path} row 777"]]
    assert {error["reason"] for error in lab.errors} == {"ValueError: 1 bad rows of 1"}


@pytest.mark.parametrize(("how", "bad"), [("raises", {3, 98}), ("dies", {60})])
def test_where_rows_were_not_counted_all_are_called_all_the_same(lab: Lab, how: str, bad: set[int]):
    # Rows grow, so how many a slice holds is guessed wrong: too many and too few.
    path = lab.inputs / "table.csv"
    lines = [f"{number},{'bad' if number in bad else 'good'},{'x' * number}\n" for number in range(100)]
    path.write_text("n,kind,text\n" + "".join(lines))
    options = ("--table", "--input", path, "--table-option", "multi_line=false", "--mini-batch-size", "300", "--error-threshold", 6)
    script = BAD_ROWS if how == "raises" else BAD_ROWS.replace("raise ValueError(f", "import os; os._exit(3); (")
    summary = lab.run(lab.script(script), *ISOLATE, *options).summary
    rows = list(map(int, lab.rows))
    assert rows == sorted(set(rows) - bad)
    # A worker that dies says nothing of how many rows it has read, so a part of one row that was guessed may be several.
    assert len(bad) <= 100 - len(rows) <= (2 if how == "raises" else 6)
    assert (summary["items"], summary["items_failed"], summary["mini_batches_failed"]) == (100, 100 - len(rows), 0)
    assert [error["items"][0].startswith(f"{path} bytes ") and "row" in error["items"][0] for error in lab.errors] == [True] * len(bad)


def test_a_table_that_cannot_be_read_fails_as_a_whole_since_every_part_would(lab: Lab):
    path = table(lab, 100, (), "csv")
    pin = lab.begin(
        lab.script(BAD_ROWS), inputs=[TabularDataset.from_csv(str(path))], isolate_failures=True, error_threshold=-1, run_max_try=2
    )
    path.write_text(path.read_text() + "100,good\n")
    assert lab.start_node(pin).wait().code == 0
    with pytest.raises(UserError, match="changed since planned"):
        lab.merge(pin)
    (piece,) = (piece for log in lab.block_logs(pin.job) for record in log for piece in record.pieces or ())
    assert (piece.counts.attempts, piece.counts.items_failed) == (2, 100)


def test_a_partition_is_never_halved(lab: Lab):
    path = table(lab, 10, (), "csv")
    refused = lab.run(lab.script(BAD_ROWS), "--isolate-failures", "--table", "--input", path, "--partition-key", "kind")
    assert (refused.code, "a partition is never called in parts" in refused.stderr) == (2, True)


# What it is asked with.


def test_with_and_without_it_are_different_jobs(lab: Lab):
    lab.many(4)
    jobs = {lab.run("names.py", *options).summary["job"] for options in ((), ("--isolate-failures",), ())}
    assert len(jobs) == 2
