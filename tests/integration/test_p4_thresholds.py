"""P4: thresholds count across all nodes and abort within seconds; exactly at the threshold is not over it."""

import re
import time
from pathlib import Path

import pytest

from airflow_batchinfer.errors import ErrorBudgetSpent, UserError
from airflow_batchinfer.planning.pin import Pin
from tests.integration.lab import Lab, Program
from tests.integration.leftovers import wait_until

ABORT_SECONDS = 8.0


def start_nodes(lab: Lab, pin: Pin, count: int = 3) -> list[Program]:
    return [lab.start_node(pin, map_index=index) for index in range(count)]


def test_across_three_nodes_as_many_failures_as_allowed_are_not_too_many(lab: Lab):
    rows = lab.many(60, poison=(0, 25, 40, 59))
    lab.variables["SECONDS"] = "0.02"
    pin = lab.begin("notes_calls.py", mini_batch_size=1, node_count=3, process_count_per_node=1, error_threshold=4, run_max_try=1)
    for node in start_nodes(lab, pin):
        assert node.wait().code == 0, node.stderr
    summary = lab.merge(pin)
    assert (summary.items_failed, summary.mini_batches_failed) == (4, 4)
    assert lab.rows == [row for row in rows if "poison" not in row]


def test_across_three_nodes_one_failure_more_than_allowed_aborts_them_all_within_seconds(lab: Lab):
    # Each node meets failures now and then; none of them alone meets as many as are too many.
    count = 2000
    lab.many(count, poison=range(10, count, 20))
    lab.variables["SECONDS"] = "0.1"
    pin = lab.begin("notes_calls.py", mini_batch_size=1, node_count=3, process_count_per_node=1, error_threshold=5, run_max_try=1)
    nodes = start_nodes(lab, pin)
    wait_until(lambda: sum("poison" in call for call in lab.calls) >= 6, "six failures, two or so on each node", 40)
    too_many = time.monotonic()
    for node in nodes:
        ended = node.wait(ABORT_SECONDS)
        assert ended.code == 1
        assert ended.stderr.splitlines()[-1].startswith("What to do: ")
        assert "ErrorBudgetSpent: " in ended.stderr
        assert "more than error_threshold=5 allows" in ended.stderr
    assert time.monotonic() - too_many < ABORT_SECONDS
    assert len(lab.calls) < count / 2
    with pytest.raises(UserError, match=r"more than error_threshold=5 allows[\s\S]*have no outcome"):
        lab.merge(pin)
    assert not (lab.output / "parallel_run_step.txt").exists()


@pytest.mark.parametrize(
    ("option", "allowed", "says"),
    [
        ("--error-threshold", 5, "6 items failed, more than error_threshold=5 allows"),
        ("--allowed-failed-count", 1, "2 mini-batches failed, more than allowed_failed_count=1 allows"),
        ("--allowed-failed-percent", 19.9, "2 of 10 mini-batches failed, more than allowed_failed_percent=19.9 allows"),
    ],
)
def test_one_more_than_a_threshold_fails_the_job_and_exactly_as_many_do_not(lab: Lab, option: str, allowed: float, says: str):
    lab.many(30, poison=(1, 14))
    options = ("--mini-batch-size", 3, "--max-try", 1) + (() if option == "--error-threshold" else ("--error-threshold", -1))
    failed = lab.run("raises.py", *options, option, allowed)
    assert failed.code == 1
    assert says in failed.stderr
    assert not (lab.output / "parallel_run_step.txt").exists()
    exactly = {"--error-threshold": 6, "--allowed-failed-count": 2, "--allowed-failed-percent": 20}[option]
    assert lab.run("raises.py", *options, option, exactly).summary["items_failed"] == 6
    assert len(lab.rows) == 24


def test_rows_that_are_missing_count_as_failed_items(lab: Lab):
    lab.many(30, poison=(1, 14))
    failed = lab.run("returns_too_few.py", "--error-threshold", 1)
    assert failed.code == 1
    assert "2 items failed, more than error_threshold=1 allows" in failed.stderr
    assert "run() returned fewer rows than items" in failed.stderr
    assert lab.run("returns_too_few.py", "--error-threshold", 2).summary["mini_batches_failed"] == 0


def test_without_a_single_success_the_job_fails_whatever_is_allowed(lab: Lab):
    lab.many(6, poison=range(6))
    failed = lab.run("raises.py", "--error-threshold", -1, "--mini-batch-size", 2)
    assert failed.code == 1
    assert "not one of 6 items succeeded" in failed.stderr


def test_a_script_that_returns_nothing_for_anything_failed_for_every_item(lab: Lab):
    lab.many(6)
    failed = lab.run("returns_empty.py", "--error-threshold", -1)
    assert failed.code == 1
    assert "not one of 6 items succeeded" in failed.stderr


def test_the_last_lines_tell_the_commonest_failure_its_cost_and_what_to_do(lab: Lab):
    lab.many(40, poison=(5, 6, 30))
    (lab.inputs / "00020").unlink()
    (lab.inputs / "00020").symlink_to("nowhere")
    failed = lab.run("raises.py", "--error-threshold", -1, "--allowed-failed-count", 0, "--mini-batch-size", 4, "--max-try", 1)
    assert failed.code == 1
    lines = failed.stderr.splitlines()
    remedy, cost = lines[-1], lines[-2]
    assert re.search(r"failed: \d mini-batch(es)? failed, more than allowed_failed_count=0 allows", failed.stderr)
    assert "ValueError at raises.py:8: this cost" in cost
    assert "first " in cost
    assert remedy.startswith("What to do: mend the script or the items, or allow more failures")
    assert "batchinfer jobs failures" in remedy
    assert any('raises.py", line 8, in run' in line for line in lines[-9:-3])
    assert lines[-5:-3] == ["ValueError: poison among 4 items", ""]
    assert not any(line.startswith("  File") and "airflow_batchinfer" in line for line in lines)


def test_an_abort_ends_only_the_run_that_decided_it(lab: Lab):
    rows = lab.many(120, poison=(10, 11))
    lab.variables["SECONDS"] = "0.05"
    common = ("notes_calls.py", "--mini-batch-size", 1, "--max-try", 1, "--processes", 1)
    strict = lab.start(*common, "--error-threshold", 0, "--output", lab.root / "strict")
    lenient = lab.start(*common, "--error-threshold", -1)
    ended = strict.wait()
    assert ended.code == 1
    assert "more than error_threshold=0 allows" in ended.stderr
    assert lenient.is_running
    summary = lenient.wait().summary
    assert summary["items_failed"] == 2
    assert lab.rows == [row for row in rows if "poison" not in row]
    assert not Path(lab.root / "strict" / "parallel_run_step.txt").exists()
    assert len(lab.jobs) == 1


def test_what_was_done_before_an_abort_is_kept_for_the_next_run(lab: Lab):
    rows = lab.many(100, poison=(50,))
    options = ("notes_calls.py", "--mini-batch-size", 1, "--max-try", 1, "--processes", 1)
    lab.variables["SECONDS"] = "0.01"
    assert lab.run(*options, "--error-threshold", 0).code == 1
    (lab.state / "mended").touch()
    before = len(lab.calls)
    summary = lab.run(*options, "--error-threshold", 0).summary
    assert summary["resumed"] >= 45
    assert len(lab.calls) - before == 100 - summary["resumed"]
    assert lab.rows == rows


def test_a_complete_job_is_not_good_enough_for_a_stricter_run_which_tries_its_failures_again(lab: Lab):
    rows = lab.many(20, poison=(3,))
    options = ("notes_calls.py", "--mini-batch-size", 1, "--max-try", 1)
    assert lab.run(*options, "--error-threshold", 1).summary["items_failed"] == 1
    assert lab.run(*options, "--error-threshold", 1).summary["reused"]
    strict = lab.run(*options, "--error-threshold", 0)
    assert strict.code == 1
    (lab.state / "mended").touch()
    summary = lab.run(*options, "--error-threshold", 0).summary
    assert (summary["reused"], summary["resumed"], summary["items_failed"]) == (False, 19, 0)
    assert lab.rows == rows


def test_the_error_that_ends_a_job_is_one_that_a_scheduler_does_not_retry(lab: Lab):
    lab.many(4, poison=(1,))
    with pytest.raises(ErrorBudgetSpent, match="1 item failed, more than error_threshold=0 allows"):
        lab.score("raises.py", mini_batch_size=1)
