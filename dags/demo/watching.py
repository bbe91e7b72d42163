"""Shows a run on a terminal while it lasts: what becomes of its tasks, and how far its jobs are. Must not change anything."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rest import ENDED, FAILED_TASKS, Rest

from airflow_batchinfer.engine.jobs import all_jobs
from airflow_batchinfer.workspace import Workspace

LOOK_SECONDS = 0.5
# What a task is in before anything is done.
NOT_YET = (None, "scheduled", "queued")


def watch(rest: Rest, dag: str, run_id: str, workspace: Path, seconds: float, tell: Callable[[str], None]) -> None:
    """Tell what is new until the run has ended; if it has failed, why, and exit."""
    deadline = time.monotonic() + seconds
    shown: dict[str, str] = {}
    while True:
        state = rest.run(dag, run_id)["state"]
        for name, told in (*_tasks(rest, dag, run_id), *_jobs(workspace)):
            if shown.get(name) != told:
                shown[name] = told
                tell(f"{name}: {told}")
        if state in ENDED:
            break
        if time.monotonic() > deadline:
            sys.exit(f"{dag} has not ended after {seconds:g} s")
        time.sleep(LOOK_SECONDS)
    if state in FAILED_TASKS:
        sys.exit(f"{dag} failed.\n{rest.failures(dag, run_id)}")


def _tasks(rest: Rest, dag: str, run_id: str) -> Iterator[tuple[str, str]]:
    for task in rest.task_instances(dag, run_id):
        number = "" if task["map_index"] < 0 else f"[{task['map_index']}]"
        if task["state"] not in NOT_YET:
            yield f"{task['task_id']}{number}", task["state"]


def _jobs(workspace: Path) -> Iterator[tuple[str, str]]:
    for status in all_jobs(Workspace.at(str(workspace), to_read=True))[0]:
        yield f"job {status.job.name}", f"{status.counts.items:,} of {status.job.items:,} items are done"
