"""A node whose script hangs, ended in every way that Airflow and the operating system have: what it leaves, and what the next run finds."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from dags.demo.rest import wait_until
from tests.system.live import LiveAirflow
from tests.system.steps import GATE_LAST, Step, StepRun, add_steps, patient

pytestmark = pytest.mark.services

SECONDS_LEFT_TO_WORKERS = 10
TOLD_TO_STOP = "this node was told to stop"


def mark_failed(run: StepRun) -> None:
    run.step.airflow.rest.set_run_state(run.step.dag, run.run_id, "failed")


def delete(run: StepRun) -> None:
    """Airflow deletes no run that goes on, so whoever wants that marks it first."""
    mark_failed(run)
    run.step.airflow.rest.delete_run(run.step.dag, run.run_id)


def wait_for_the_timeout(run: StepRun) -> None:
    wait_until(lambda: "Process timed out" in run.log("run", 0), "execution_timeout", 60)


def kill(run: StepRun) -> None:
    os.kill(run.heartbeats[0].process, signal.SIGKILL)


def terminate(run: StepRun) -> None:
    os.kill(run.heartbeats[0].process, signal.SIGTERM)


WAYS: dict[str, Callable[[StepRun], None]] = {
    "marked_failed": mark_failed,
    "deleted": delete,
    "killed": kill,
    "terminated": terminate,
    "timed_out": wait_for_the_timeout,
}
# What the node's log says of it; the log of a run that was deleted cannot be read.
TOLD = {
    "marked_failed": TOLD_TO_STOP,
    "killed": "Process terminated by signal",
    "terminated": TOLD_TO_STOP,
    "timed_out": "AirflowTaskTimeout",
}


@dataclass(frozen=True)
class Ended:
    """A run that was ended in the middle, and one after it that could go to its end."""

    step: Step
    first: StepRun
    had_workers: int
    next: StepRun


@pytest.fixture(scope="module")
def ended(airflow: LiveAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """In each way one, side by side. Workers that live too long fail here."""
    with patient(airflow) as live:
        yield end_in_each_way(add_steps(live, tmp_path_factory.mktemp("killing"), "killing.py", map(hanging, WAYS)))


def end_in_each_way(steps: dict[str, Step]) -> dict[str, Ended]:
    first = {way: step.trigger() for way, step in steps.items()}
    for run in first.values():
        run.wait_for_the_gate()
    had_workers = {way: len(step.workers) for way, step in steps.items()}
    for way, act in WAYS.items():
        act(first[way])
        wait_until(lambda step=steps[way]: not step.workers, f"no worker of {way} is left", SECONDS_LEFT_TO_WORKERS)
    for step in steps.values():
        step.open_gate()
    again = {way: step.trigger() for way, step in steps.items()}
    return {way: Ended(step, first[way], had_workers[way], again[way].wait()) for way, step in steps.items()}


def hanging(way: str) -> Step:
    timeout = {"execution_timeout": timedelta(seconds=12)} if way == "timed_out" else {}
    return Step(way, "waits_for_gate.py", GATE_LAST, config={"run_invocation_timeout": 300}, operator=timeout)


@pytest.mark.parametrize("way", WAYS)
def test_no_worker_of_a_node_that_is_ended_survives_ten_seconds_and_the_next_run_resumes(ended: dict[str, Ended], way: str):
    this = ended[way]
    assert this.had_workers == 2  # a worker, and its keeper
    assert this.next.summary["resumed"] == 7
    assert this.step.calls == [*this.step.names, "007-gate"]
    assert this.next.result == this.step.rows


@pytest.mark.parametrize("way", TOLD)
def test_the_log_of_a_node_that_is_ended_says_what_happened(ended: dict[str, Ended], way: str):
    first = ended[way].first.wait_for_its_end()
    assert first.states["run[0]"] == "failed"
    assert TOLD[way] in first.log("run", 0)


def test_a_run_that_is_marked_failed_does_not_merge(ended: dict[str, Ended]):
    assert ended["marked_failed"].first.states["merge"] == "skipped"


def test_where_nodes_were_lost_merge_says_so(ended: dict[str, Ended]):
    log = ended["killed"].first.log("merge")
    assert "have no outcome: nodes were lost. Run it again to resume" in log
    assert ended["killed"].first.tries["merge"] == 1
