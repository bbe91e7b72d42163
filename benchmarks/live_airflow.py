"""A real Airflow for S4 and S5: the demo's standalone one, with the DAGs of `benchmarks/dags`.

A run's time is Airflow's own account of it, from its start_date to its end_date, so how seldom it is looked at does not matter;
and it is looked at seldom, since every look takes the cores away from what is measured.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.commands import SINGLE_THREADED
from benchmarks.places import DAGS, ENTRY_SCRIPTS, MODEL, fresh_folder
from benchmarks.sides import WORKERS, Rows, Scoring, count_rows
from dags.demo.rest import ENDED, Rest, wait_until
from dags.demo.standalone import Standalone

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_SECONDS = 1.0
MOST_SECONDS = 4 * 3600
READ_SECONDS = 120
POOL = "mapped_tasks"  # as in dags/one_task_per_mini_batch.py


@dataclass(frozen=True)
class Dag:
    """A DAG file's only DAG, and the task whose result is the path of the rows."""

    name: str
    last_task: str


ONE_STEP = Dag("one_step", "score.merge")
ONE_TASK_PER_MINI_BATCH = Dag("one_task_per_mini_batch", "gather")


@dataclass(frozen=True)
class DagRun:
    """How long a run and each of its tasks took, and the rows it wrote."""

    seconds: float
    task_seconds: dict[str, list[float]]
    rows: Rows


@dataclass(frozen=True)
class LiveAirflow:
    """An Airflow that is healthy and has read the DAGs."""

    rest: Rest
    outputs: Path

    def score(self, dag: Dag, scoring: Scoring) -> DagRun:
        """Run one DAG to its end; that it failed is an error which shows the failed tasks' logs."""
        params = {"script": str(ENTRY_SCRIPTS / scoring.script), "folder": str(scoring.folder), "processes": str(WORKERS)}
        output = self.outputs / f"{dag.name}-{time.monotonic_ns()}"
        run_id = self.rest.trigger(dag.name, {**params, "mini_batch_size": str(scoring.mini_batch_size), "output": str(output)})
        run = self._ended(dag.name, run_id)
        task_seconds: dict[str, list[float]] = {}
        for task in self.rest.task_instances(dag.name, run_id):
            task_seconds.setdefault(task["task_id"], []).append(task["duration"])
        rows = count_rows([Path(self.rest.xcom(dag.name, run_id, dag.last_task))])
        return DagRun(_seconds(run), task_seconds, rows)

    def allow_mapped_tasks(self, at_once: int) -> None:
        """Let so many of the tasks of ONE_TASK_PER_MINI_BATCH run at once."""
        self.rest.set_pool(POOL, at_once)

    def _ended(self, dag: str, run_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + MOST_SECONDS
        while self.rest.run(dag, run_id)["state"] not in ENDED and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return self.rest.wait_for(dag, run_id, seconds=0)


@contextmanager
def live_airflow() -> Iterator[LiveAirflow]:
    """Start it in a folder of its own, with the settings that we ship; end it and remove all."""
    with fresh_folder() as folder:
        (folder / "laps").mkdir()
        environment = {**SINGLE_THREADED, "AZUREML_MODEL_DIR": str(MODEL), "BENCHMARK_LAPS": str(folder / "laps")}
        airflow = Standalone(folder / "home", DAGS, environment=environment)
        with airflow, Rest(airflow.url, airflow.login.user, airflow.login.password) as rest:
            for dag in (ONE_STEP, ONE_TASK_PER_MINI_BATCH):
                wait_until(lambda name=dag.name: name in _readable(rest), f"Airflow reads {dag.name}", READ_SECONDS)
                rest.unpause(dag.name)
            yield LiveAirflow(rest, folder / "outputs")


def _readable(rest: Rest) -> set[str]:
    if errors := rest.import_errors():
        raise ValueError("\n".join(errors.values()))
    return {dag["dag_id"] for dag in rest.dags()}


def _seconds(run: dict[str, Any]) -> float:
    return (datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])).total_seconds()
