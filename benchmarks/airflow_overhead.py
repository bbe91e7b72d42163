"""S5: what Airflow, with a plan and a merge in tasks of their own, adds to the engine's time. Seen from outside.

A DAG run of one step is paired with `batchinfer run` on the same inputs, within the same minute and beside the same idle
Airflow, each with a new job of which nothing is done. *Added* is the DAG run's time, start_date to end_date, less the command's,
start to end. The command plans and merges as well; so that subtracting this hides nothing, the first job's script does
nothing: there the engine has no time of its own worth speaking of, and the whole DAG run must keep the promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import digits, million
from benchmarks.live_airflow import ONE_STEP, DagRun, LiveAirflow, live_airflow
from benchmarks.pairs import Spread, alternate, spread
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import WORKERS, Scored, Scoring, by_engine, require_same_rows

if TYPE_CHECKING:
    from benchmarks.effort import Effort

MOST_SECONDS = 5
TASKS = ("plan", "run", "merge")


@dataclass(frozen=True)
class Overhead:
    """The pairs of one job."""

    job: str
    runs: list[tuple[DagRun, Scored]]

    def whole_seconds(self) -> Spread:
        """From the DAG run's start to its end."""
        return spread([run.seconds for run, _ in self.runs])

    def added_seconds(self) -> Spread:
        """The DAG run less the command, pair by pair."""
        return spread([run.seconds - command.seconds for run, command in self.runs])


def measure(effort: Effort) -> Finding:
    """Compare with a script that does nothing, and with one that loads TensorFlow."""
    digits.model()
    jobs = {
        "1,000 files, no-op": Scoring("no_op.py", million.tree(1_000), 10),
        f"{effort.images:,} images": Scoring("digits_mlp.py", digits.images(effort.images), 100),
    }
    with live_airflow() as airflow:
        overheads = [_compare(airflow, job, scoring, effort.pairs) for job, scoring in jobs.items()]
    return Finding(
        title="S5: what Airflow adds",
        compared=f"A DAG of one `ParallelRunOperator`, with one node and {WORKERS} processes, with `batchinfer run --processes {WORKERS}` "
        "on the same inputs: empty files with a script that does nothing, and the images and the script of S2. Both sides plan and merge.",
        method=f"{effort.pairs} pairs, a new job for every run, in a standalone Airflow with SQLite, LocalExecutor and "
        "`min_heartbeat_interval` 1. *Added* is a DAG run, from its start_date to its end_date, less the command beside it. *Plan*, *run* "
        "and *merge* are as long as Airflow says; *between* is when none of them ran.",
        table=Table(
            ("job", "DAG run, s", "plan, s", "run, s", "merge, s", "between, s", "command, s", "added, s"),
            tuple(_row(overhead) for overhead in overheads),
        ),
        reaches=_reaches(overheads),
    )


def _compare(airflow: LiveAirflow, job: str, scoring: Scoring, pairs: int) -> Overhead:
    runs = alternate(lambda: airflow.score(ONE_STEP, scoring), lambda: by_engine(scoring), pairs)
    require_same_rows([side for pair in runs for side in pair])
    return Overhead(job, runs)


def _row(overhead: Overhead) -> tuple[str, ...]:
    runs = [run for run, _ in overhead.runs]
    tasks = [spread([_task_seconds(run, task) for run in runs]) for task in TASKS]
    between = spread([run.seconds - sum(_task_seconds(run, task) for task in TASKS) for run in runs])
    command = spread([command.seconds for _, command in overhead.runs])
    columns = (overhead.whole_seconds(), *tasks, between, command, overhead.added_seconds())
    return overhead.job, *(column.text(1) for column in columns)


def _task_seconds(run: DagRun, task: str) -> float:
    return sum(run.task_seconds[f"score.{task}"])


def _reaches(overheads: list[Overhead]) -> tuple[Reach, ...]:
    measured = [(f"added to {overhead.job}", overhead.added_seconds()) for overhead in overheads]
    whole = (f"the whole DAG run, {overheads[0].job}", overheads[0].whole_seconds())
    wanted = f"<= {MOST_SECONDS} s"
    return tuple(Reach(what, wanted, f"{seconds.text(1)} s", seconds.median <= MOST_SECONDS) for what, seconds in (*measured, whole))
