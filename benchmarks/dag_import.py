"""P8: what it costs to read a DAG file with our operators, against the same file with Airflow's own."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.commands import run_side_by_side
from benchmarks.pairs import alternate, spread
from benchmarks.places import DAGS_TO_IMPORT, PROGRAMS, fresh_folder
from benchmarks.report import Finding, Reach, Table

if TYPE_CHECKING:
    from benchmarks.effort import Effort

MOST_MS = 100
LEAST_PAIRS = 7
READINGS = 11


@dataclass(frozen=True)
class Parsed:
    """What one fresh dag-processor said of a file: medians of its readings, and what was loaded."""

    import_ms: float
    serialize_ms: float
    modules: int
    heavy: tuple[str, ...]


def measure(effort: Effort) -> Finding:
    """Compare the two files of `benchmarks/dags_to_import`."""
    pairs = effort.pairs if effort.pairs == 1 else max(effort.pairs, LEAST_PAIRS)
    runs = alternate(lambda: parse("our_operators.py"), lambda: parse("airflow_alone.py"), pairs)
    more = spread([ours.import_ms - theirs.import_ms for ours, theirs in runs])
    heavy = sorted({name for ours, _ in runs for name in ours.heavy})
    return Finding(
        title="P8: importing a DAG file",
        compared="A DAG file with a `RegisterModel` and a `ParallelRunOperator`, and one with the same four tasks, in the same group, "
        "made of Airflow's `BashOperator`.",
        method=f"{pairs} pairs. A side is a fresh interpreter that loads what Airflow's dag-processor has loaded, Airflow's modules that "
        f"the file imports included, and then reads the file {READINGS} times, each time in a fork, as the dag-processor does; the median "
        "of these counts. Serializing is what the dag-processor does next with what it read. Modules are those that importing loaded.",
        table=Table(
            ("operators", "import, ms", "serialize, ms", "modules", "more, ms"),
            (_row("ours", [ours for ours, _ in runs], more.text(0)), _row("Airflow's", [theirs for _, theirs in runs], "0")),
        ),
        reaches=(
            Reach("importing", f"< {MOST_MS} ms more", f"{more.text(0)} ms", more.median < MOST_MS),
            Reach("pandas, pyarrow, TensorFlow, NumPy loaded", "none", ", ".join(heavy) or "none", not heavy),
        ),
    )


def parse(name: str) -> Parsed:
    """What it costs to read one of the two files, in a fresh interpreter."""
    with fresh_folder() as folder:
        command = [sys.executable, PROGRAMS / "parse_dag.py", DAGS_TO_IMPORT / name, str(READINGS)]
        told = run_side_by_side([command], {"AIRFLOW_HOME": str(folder)}, folder).stdout.splitlines()[-1]
    said = json.loads(told)
    return Parsed(said["import_seconds"] * 1e3, said["serialize_seconds"] * 1e3, said["modules"], tuple(said["heavy"]))


def _row(operators: str, runs: list[Parsed], more: str) -> tuple[str, ...]:
    imported, serialized = (spread([getattr(run, what) for run in runs]).text(0) for what in ("import_ms", "serialize_ms"))
    return operators, imported, serialized, str(max(run.modules for run in runs)), more
