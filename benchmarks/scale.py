"""Scale: a step of several nodes over ever more mini-batches, and what it asks of the storage of its workspace."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import million
from benchmarks.commands import run_side_by_side
from benchmarks.places import ENTRY_SCRIPTS, PROGRAMS, fresh_folder
from benchmarks.report import Finding, Reach, Table

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.effort import Effort

SIZES = (10_000, 100_000, 1_000_000)
NODES = 4
MOST_GROWTH = 1.25
MEGABYTE = 1e6
Told = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """What the three tasks of one step told; of the nodes all."""

    plan: Told
    nodes: list[Told]
    merge: Told

    @property
    def run_us(self) -> float:
        """What a mini-batch took while all nodes worked."""
        return float(max(node["seconds"] for node in self.nodes) / self.plan["mini_batches"] * 1e6)

    def requests(self, tasks: list[Told]) -> Counter[str]:
        """What these tasks asked of storage."""
        return sum((Counter(task["requests"]) for task in tasks), Counter())


def measure(effort: Effort) -> Finding:
    """Run ever more mini-batches of one empty file on four nodes with a script that does nothing."""
    steps = [_step(size) for size in SIZES if size <= effort.most_mini_batches]
    return Finding(
        title="Scale: four nodes, and what they ask of storage",
        compared=f"A step of {NODES} nodes with one worker each, its tasks in processes of their own as Airflow starts them, with itself "
        "over ever more mini-batches of one empty file, with a script that does nothing: no step asks more of its workspace.",
        method="Once for each size, with the workspace on local disk, where each call of the store is counted that is a request on object "
        "storage; a listing is one for each 1,000 names. *Each* is the time of the slowest node by the number of mini-batches. Memory is "
        "the peak of a task's process. All nodes share two cores with their workers.",
        table=Table(
            (
                "mini-batches",
                "blocks",
                "plan / run / merge, s",
                "each, us",
                "plan / node / merge, MB",
                "requests of plan",
                "of all nodes (put, get, list)",
                "of merge",
                "of nodes, per 1,000 mini-batches",
            ),
            tuple(map(_row, steps)),
        ),
        reaches=_reaches(steps),
    )


def _reaches(steps: list[Step]) -> tuple[Reach, ...]:
    """Only where there are three sizes: what starting up takes is in both differences no more."""
    if len(steps) < len(SIZES):
        return ()
    fewest, some, most = steps
    cost = _seconds_each(some, most) / _seconds_each(fewest, some)
    memory = _peak(most.nodes) / _peak(fewest.nodes)
    wanted = f"the same (<= {MOST_GROWTH} x)"
    return (
        Reach("each further mini-batch (P7), the last 900,000 against the 90,000 before", wanted, f"{cost:.2f} x", cost <= MOST_GROWTH),
        Reach("memory of a node (P6), 1,000,000 against 10,000", wanted, f"{memory:.2f} x", memory <= MOST_GROWTH),
    )


def _seconds_each(fewer: Step, more: Step) -> float:
    """What each mini-batch took that the one step had beyond the other."""
    seconds = [max(node["seconds"] for node in step.nodes) for step in (more, fewer)]
    return (seconds[0] - seconds[1]) / (more.plan["mini_batches"] - fewer.plan["mini_batches"])


def _step(mini_batches: int) -> Step:
    inputs = million.tree(mini_batches)
    with fresh_folder() as folder:
        workspace = folder / "workspace"
        plan = _tasks(folder, [["plan", workspace, ENTRY_SCRIPTS / "no_op.py", inputs, str(NODES), folder / "output"]])[0]
        nodes = _tasks(folder, [["run", workspace, plan["pin"], str(index)] for index in range(NODES)])
        merge = _tasks(folder, [["merge", workspace, plan["pin"]]])[0]
        if merge["rows"] != mini_batches:
            raise ValueError(f"{merge['rows']} rows of {mini_batches}")
        return Step(plan, nodes, merge)


def _tasks(folder: Path, given: list[list[str | Path]]) -> list[Told]:
    (folder / "laps").mkdir(exist_ok=True)
    run_side_by_side(
        [[sys.executable, PROGRAMS / "counted_task.py", *task] for task in given], {"BENCHMARK_LAPS": str(folder / "laps")}, folder
    )
    return [json.loads((folder / f"log{index}.out").read_text().splitlines()[-1]) for index in range(len(given))]


def _row(step: Step) -> tuple[str, ...]:
    of_plan, of_nodes, of_merge = (step.requests(tasks) for tasks in ([step.plan], step.nodes, [step.merge]))
    seconds = [step.plan["seconds"], max(node["seconds"] for node in step.nodes), step.merge["seconds"]]
    peaks = [_peak(tasks) / MEGABYTE for tasks in ([step.plan], step.nodes, [step.merge])]
    return (
        f"{step.plan['mini_batches']:,}",
        f"{step.plan['blocks']:,}",
        " / ".join(f"{each:.1f}" for each in seconds),
        f"{step.run_us:.0f}",
        " / ".join(f"{each:.0f}" for each in peaks),
        f"{of_plan.total():,}",
        f"{of_nodes.total():,} ({of_nodes['put']:,}, {of_nodes['get']:,}, {of_nodes['list']:,})",
        f"{of_merge.total():,}",
        f"{of_nodes.total() / step.plan['mini_batches'] * 1000:.1f}",
    )


def _peak(tasks: list[Told]) -> int:
    return max(task["peak_bytes"] for task in tasks)
