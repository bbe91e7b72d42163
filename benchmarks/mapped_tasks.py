"""S4: one step of ours against one mapped task per mini-batch, in the same Airflow.

The mapped tasks take long enough to average out a machine's moods; our few seconds do not, so each of their runs lies between
two of ours, A B A, and makes a ratio with both. The number of mini-batches is real: nothing is extrapolated. How many mapped
tasks run at once is tried first, and what is better for them is taken: more of them than cores share the cores, no more than
cores leave a core idle between two tasks.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import digits
from benchmarks.live_airflow import ONE_STEP, ONE_TASK_PER_MINI_BATCH, DagRun, LiveAirflow, live_airflow
from benchmarks.pairs import Spread, spread
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import WORKERS, Scoring, require_same_rows

if TYPE_CHECKING:
    from benchmarks.effort import Effort

LEAST_RATIO = 50
MINI_BATCH_SIZE = 10
TRIED_AT_ONCE = (2, 4)


@dataclass(frozen=True)
class Compared:
    """The runs of both sides in turn: one more of ours than of theirs."""

    mini_batches: int
    at_once: int
    ours: list[DagRun]
    theirs: list[DagRun]

    def ratio(self) -> Spread:
        """How much longer theirs took than the run of ours before it, and the one after it."""
        neighbours = [(theirs, ours) for number, theirs in enumerate(self.theirs) for ours in self.ours[number : number + 2]]
        return spread([theirs.seconds / ours.seconds for theirs, ours in neighbours])


def measure(effort: Effort) -> Finding:
    """Compare whole DAG runs."""
    compared = _compare(effort.mapped_mini_batches, effort.mapped_runs)
    ratio = compared.ratio()
    return Finding(
        title="S4: one task per mini-batch, in Airflow",
        compared=f"`ParallelRunOperator` with one node and {WORKERS} processes, with the DAG that one writes first: a task that cuts the "
        "mini-batches, a mapped task for each of them, which imports the script, calls `init()` and `run()`, and a task that gathers the "
        "rows. The script is that of S1.",
        method=f"{compared.mini_batches:,} mini-batches of {MINI_BATCH_SIZE} images, in one standalone Airflow with SQLite, LocalExecutor "
        f"and `min_heartbeat_interval` 1, from a DAG run's start_date to its end_date. The DAG of mapped tasks is run "
        f"{len(compared.theirs)} x, the step before and after, A B A; uncounted runs of {_tried(compared.mini_batches)} mini-batches "
        f"tried {' and '.join(map(str, TRIED_AT_ONCE))} mapped tasks at once, and {compared.at_once} were faster. *Per mini-batch* is the "
        "DAG run's time over their number. A *task* that scores is as long as Airflow says: the median, imports included.",
        table=Table(
            ("side", "DAG run, s", "per mini-batch, s", "a task, s", "ratio"),
            (
                ("one step", *_columns(compared.ours, compared.mini_batches, "score.run"), ratio.text(0)),
                ("mapped tasks", *_columns(compared.theirs, compared.mini_batches, "score"), "1"),
            ),
        ),
        reaches=(Reach("total time", f">= {LEAST_RATIO} x faster", ratio.text(0), ratio.median >= LEAST_RATIO),),
    )


def _compare(mini_batches: int, mapped_runs: int) -> Compared:
    digits.model()
    scoring = _scoring(mini_batches)
    with live_airflow() as airflow:
        at_once = _faster_at_once(airflow, _scoring(_tried(mini_batches)))
        compared = Compared(mini_batches, at_once, [airflow.score(ONE_STEP, scoring)], [])
        for _ in range(mapped_runs):
            compared.theirs.append(airflow.score(ONE_TASK_PER_MINI_BATCH, scoring))
            compared.ours.append(airflow.score(ONE_STEP, scoring))
    require_same_rows([*compared.ours, *compared.theirs])
    return compared


def _faster_at_once(airflow: LiveAirflow, scoring: Scoring) -> int:
    airflow.score(ONE_STEP, scoring)
    tried = {}
    for tasks in TRIED_AT_ONCE:
        airflow.allow_mapped_tasks(tasks)
        tried[tasks] = airflow.score(ONE_TASK_PER_MINI_BATCH, scoring).seconds
    faster = min(tried, key=tried.__getitem__)
    airflow.allow_mapped_tasks(faster)
    return faster


def _tried(mini_batches: int) -> int:
    return max(2, mini_batches // 25)


def _scoring(mini_batches: int) -> Scoring:
    return Scoring("digits_mlp.py", digits.images(mini_batches * MINI_BATCH_SIZE), MINI_BATCH_SIZE)


def _columns(runs: list[DagRun], mini_batches: int, task: str) -> tuple[str, ...]:
    whole = spread([run.seconds for run in runs]).text(1)
    each = spread([run.seconds / mini_batches for run in runs]).text(3)
    return whole, each, f"{statistics.median(seconds for run in runs for seconds in run.task_seconds[task]):.1f}"
