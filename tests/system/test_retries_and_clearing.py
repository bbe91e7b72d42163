"""What is done again when a run is repeated, retried or cleared, and what is not; and what is never tried again.

Each story is played in a thread of its own, all of them side by side; a test looks at how one ended.
"""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from airflow_batchinfer.operators.failures import HOW_AGAIN
from dags.demo.rest import wait_until
from tests.system.live import LiveAirflow
from tests.system.steps import GATE_LAST, Step, StepRun, add_steps, patient

pytestmark = pytest.mark.services

GATE_FIRST = ["000-gate", *(f"{number:03d}" for number in range(1, 8))]
TIRELESS = {"retries": 9, "retry_delay": timedelta(seconds=3)}
PATIENT = {"run_invocation_timeout": 300}
SYNTAX_ERROR = "def run(mini_batch):\n    return [\n"
Stories = dict[str, Future[Any]]


def repeated(step: Step) -> tuple[StepRun, StepRun]:
    return step.trigger().wait(), step.trigger().wait()


def cleared_when_complete(step: Step) -> tuple[StepRun, list[str]]:
    """The run, and the jobs that it worked on."""
    run = step.trigger().wait()
    jobs = [run.pin.job]
    run.clear("plan").wait()
    return run, [*jobs, run.pin.job]


def failed_mended_and_cleared(step: Step) -> tuple[StepRun, list[str]]:
    """The run, and the calls until it had failed."""
    run = step.trigger().wait("failed")
    calls = step.calls
    (step.state / "mended").touch()
    return run.clear("plan").wait(), calls


def killed_and_retried(step: Step) -> StepRun:
    run = step.trigger()
    run.wait_for_the_gate()
    os.kill(run.heartbeats[0].process, signal.SIGKILL)
    step.wait_for_call("007-gate", times=2)
    step.open_gate()
    return run.wait()


def both_killed_and_one_cleared(step: Step) -> StepRun:
    run = step.trigger()
    run.wait_for_the_gate()
    wait_until(lambda: len(run.heartbeats) == 2, "both nodes work", 120)
    for beat in run.heartbeats:
        os.kill(beat.process, signal.SIGKILL)
    run.wait("failed")
    step.open_gate()
    return run.clear(("run", 1)).wait()


def two_at_once(step: Step) -> tuple[StepRun, StepRun]:
    first = step.trigger()
    step.wait_for_call("000-gate")
    second = step.trigger()
    step.wait_for_call("007")
    step.open_gate()
    return first.wait(), second.wait()


def storage_fails_each_task_once(step: Step) -> StepRun:
    """A file stands where plan, the node and merge need a folder, until they have failed by it."""
    workspace, output = step.root / "workspace", step.root / "output"
    workspace.touch()
    run = step.trigger()
    wait_for_a_failed_try(run, "plan")
    workspace.unlink()
    step.wait_for_call("007-gate")
    output.rmdir()
    output.touch()
    (blocks,) = workspace.glob("jobs/*/blocks")
    blocks.rename(step.root / "blocks")
    blocks.touch()
    step.open_gate()
    wait_for_a_failed_try(run, "run[0]")
    blocks.unlink()
    (step.root / "blocks").rename(blocks)
    wait_for_a_failed_try(run, "merge")
    output.unlink()
    return run.wait()


def wait_for_a_failed_try(run: StepRun, task: str) -> None:
    wait_until(lambda: run.states.get(task) == "up_for_retry", f"{task} fails", 120)


def failed(step: Step) -> StepRun:
    return step.trigger().wait("failed")


PLAYS: list[tuple[Callable[[Step], Any], Step]] = [
    (repeated, Step("repeated", "counts_calls.py", config={"node_count": 2})),
    (repeated, Step("repeated_anew", "counts_calls.py", 3, operator={"allow_reuse": False})),
    (cleared_when_complete, Step("cleared", "counts_calls.py", config={"node_count": 2})),
    (cleared_when_complete, Step("cleared_anew", "counts_calls.py", 3, operator={"allow_reuse": False})),
    (failed_mended_and_cleared, Step("mended", "notes_calls.py", ["0", "1", "2-poison"], operator={"allow_reuse": False, **TIRELESS})),
    (killed_and_retried, Step("killed_and_retried", "waits_for_gate.py", GATE_LAST, config=PATIENT, operator=TIRELESS)),
    (both_killed_and_one_cleared, Step("one_cleared", "waits_for_gate.py", GATE_LAST, config={"node_count": 2, **PATIENT})),
    (two_at_once, Step("shared", "waits_for_gate.py", GATE_FIRST, config=PATIENT)),
    (
        storage_fails_each_task_once,
        Step(
            "bad_storage",
            "waits_for_gate.py",
            GATE_LAST,
            config=PATIENT,
            operator={"workspace": "{root}/workspace", "output_dir": "{root}/output", **TIRELESS},
        ),
    ),
    (failed, Step("not_python", "broken.py", code=SYNTAX_ERROR, operator=TIRELESS)),
    (failed, Step("without_run", "no_run.py", operator=TIRELESS)),
    (failed, Step("cannot_init", "init_raises.py", operator=TIRELESS)),
    (failed, Step("over_budget", "raises.py", ["0", "1-poison"], operator=TIRELESS)),
]


@pytest.fixture(scope="module", autouse=True)
def stories(airflow: LiveAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stories]:
    with patient(airflow) as live, ThreadPoolExecutor(len(PLAYS)) as pool:
        add_steps(live, tmp_path_factory.mktemp("retries"), "retries.py", (step for _, step in PLAYS))
        yield {step.dag: pool.submit(play, step) for play, step in PLAYS}


def test_the_same_again_is_answered_at_once_with_the_same_bytes_in_a_place_of_its_own(stories: Stories):
    first, second = stories["repeated"].result()
    assert (second.summary["reused"], second.summary["job"]) == (True, first.summary["job"])
    assert second.step.calls == second.step.names
    assert second.states == {"plan": "success", "run[0]": "success", "merge": "success"}
    assert f"the job {first.pin.job} is reused, so there is nothing to do" in second.log("run", 0)
    assert second.output != first.output
    assert second.result == first.result == first.step.rows


def test_without_reuse_a_second_run_makes_a_new_job(stories: Stories):
    first, second = stories["repeated_anew"].result()
    assert [run.pin.job.rpartition("-")[2] for run in (first, second)] == ["1", "2"]
    assert (second.summary["reused"], second.summary["resumed"]) == (False, 0)
    assert first.step.calls == sorted(2 * first.step.names)


def test_clearing_a_whole_run_that_was_complete_shows_its_result_again_without_the_nodes_that_it_needs_no_more(stories: Stories):
    run, jobs = stories["cleared"].result()
    assert jobs[0] == jobs[1]
    assert run.states == {"plan": "success", "run[0]": "success", "run[1]": "removed", "merge": "success"}
    assert run.summary["reused"]
    assert run.step.calls == run.step.names


def test_clearing_a_whole_run_that_was_complete_does_it_anew_without_reuse(stories: Stories):
    run, jobs = stories["cleared_anew"].result()
    assert [job.rpartition("-")[2] for job in jobs] == ["1", "2"]
    assert run.step.calls == sorted(2 * run.step.names)
    assert run.result == run.step.rows


def test_a_failed_run_that_is_cleared_continues_its_job_also_without_reuse(stories: Stories):
    run, calls = stories["mended"].result()
    assert run.pin.job.endswith("-1")
    assert run.summary["resumed"] == 2
    assert run.step.calls == sorted([*calls, "2-poison"])
    assert run.result == run.step.rows


def test_a_node_that_was_killed_is_retried_and_does_not_redo_what_was_committed(stories: Stories):
    run = stories["killed_and_retried"].result()
    assert run.tries == {"plan": 1, "run[0]": 2, "merge": 1}
    assert run.step.calls == [*run.step.names, "007-gate"]
    assert run.result == run.step.rows


def test_clearing_one_node_redoes_only_what_is_missing_and_another_that_stays_lost_does_not_stop_merge(stories: Stories):
    run = stories["one_cleared"].result()
    assert run.states == {"plan": "success", "run[0]": "failed", "run[1]": "success", "merge": "success"}
    assert run.tries == {"plan": 1, "run[0]": 1, "run[1]": 2, "merge": 2}
    assert run.step.calls == [*run.step.names, "007-gate"]
    assert run.result == run.step.rows


def test_two_runs_at_once_share_one_job_and_both_get_the_result(stories: Stories):
    first, second = stories["shared"].result()
    assert first.pin.job == second.pin.job
    assert first.step.calls == first.step.names
    assert first.output != second.output
    assert first.result == second.result == first.step.rows
    assert second.summary["nodes"] == 2


def test_a_storage_failure_is_retried_by_each_of_the_three_tasks(stories: Stories):
    run = stories["bad_storage"].result()
    assert {task for task, tries in run.tries.items() if tries > 1} == {"plan", "run[0]", "merge"}
    for task in (("plan",), ("run", 0), ("merge",)):
        assert "is a file" in run.log(*task)
    assert run.result == run.step.rows


@pytest.mark.parametrize("dag", ["without_run", "cannot_init", "over_budget"])
def test_what_the_script_does_wrong_is_tried_once(stories: Stories, dag: str):
    assert stories[dag].result().tries == {"plan": 1, "run[0]": 1, "merge": 1}


def test_a_script_that_is_not_python_fails_plan_at_once_with_its_line(stories: Stories):
    run = stories["not_python"].result()
    assert run.tries == {"plan": 1, "run": 0, "merge": 0}
    assert "broken.py is not valid Python, line 2: '[' was never closed" in run.log("plan")


def in_this_order(text: str, *parts: str) -> bool:
    for part in parts:
        _, found, text = text.partition(part)
        if not found:
            return False
    return True


@pytest.mark.parametrize("task", [("run", 0), ("merge",)])
def test_a_run_over_its_budget_says_why_in_the_logs_of_node_and_merge_the_script_s_traceback_first(stories: Stories, task: tuple[Any, ...]):
    log = stories["over_budget"].result().log(*task)
    told = log[log.index("mini-batch 1 failed") :] if "mini-batch 1 failed" in log else log
    traceback = ("Traceback (most recent call last):", 'raises.py", line 8, in run', "ValueError: poison among 1 items")
    reason = "1 item failed, more than error_threshold=0 allows"
    cost = "ValueError at raises.py:8: this cost 1 item in 1 mini-batch, first "
    assert in_this_order(told, *traceback, reason, cost, "What to do: mend the script or the items", HOW_AGAIN)


@pytest.mark.parametrize("task", [("run", 0), ("merge",)])
def test_an_init_that_raises_says_why_in_the_logs_of_node_and_merge_its_traceback_first(stories: Stories, task: tuple[Any, ...]):
    log = stories["cannot_init"].result().log(*task)
    traceback = ("Traceback (most recent call last):", 'init_raises.py", line 7, in init', "FileNotFoundError: model.h5 is not here")
    assert in_this_order(log, *traceback, "init() failed 2 times", "Mend the script, or what it loads, and run it again", HOW_AGAIN)
