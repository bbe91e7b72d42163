"""S7: rows of a table, against pandas reading the same chunks in two hand-written loops; and how fast the cutting pass is."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import run_side_by_side
from benchmarks.laps import Lap, columns_of, read_workers, steady
from benchmarks.pairs import alternate, spread
from benchmarks.places import ENTRY_SCRIPTS, PROGRAMS, TABLES, fresh_folder
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import WORKERS, Rows, count_rows, require_same_rows

if TYPE_CHECKING:
    from benchmarks.effort import Effort

LEAST_RATIO = 0.9
LEAST_MB_PER_SECOND = 150
CHUNK_BYTES = 1 << 20
WORDS = ("plain", "two words", "a longer text that says nothing in particular", "")
SCRIPT = ENTRY_SCRIPTS / "table_linear.py"


@dataclass(frozen=True)
class Scored:
    """One side's run."""

    workers: list[list[Lap]]
    rows: Rows


def measure(effort: Effort) -> Finding:
    """Compare while both work, and time the pass."""
    file = table(effort.table_rows)
    runs = alternate(lambda: _by_engine(file), lambda: _by_loops(file), effort.pairs)
    require_same_rows([side for pair in runs for side in pair])
    ours, theirs = ([steady(side.workers, WORKERS) for side in sides] for sides in zip(*runs, strict=True))
    ratio = spread([our.items_per_second / their.items_per_second for our, their in zip(ours, theirs, strict=True)])
    passes = [_cutting_pass(file) for _ in range(max(3, effort.pairs))]
    megabytes = file.stat().st_size / 1e6
    speed = spread([megabytes / seconds for seconds in passes])
    return Finding(
        title="S7: tables, against pandas in two loops",
        compared=f"`batchinfer run --table --processes {WORKERS}` with {WORKERS} plain Python processes, each of which reads every other "
        "chunk of the same file with `pandas.read_csv`, types given, calls `run()` and writes the rows to a file of its own. The script "
        "is a linear model over four columns, with NumPy.",
        method=f"{effort.table_rows:,} rows of six columns, {megabytes:,.0f} MB of CSV in chunks of about 1 MB, {effort.pairs} pairs; "
        "steady state as in S1. The cutting pass finds the ends of the records, quoted line breaks included, and settles the types of the "
        f"columns; it was timed {len(passes)} x in this process, over the same file, in the page cache.",
        table=Table(
            ("side", "rows/s", "call, us", "gap, us", "ratio"),
            (
                ("engine", *columns_of(ours), ratio.text()),
                ("loops", *columns_of(theirs), "1"),
                ("cutting pass", f"{speed.text(0)} MB/s", "", "", ""),
            ),
        ),
        reaches=(
            Reach("rows/s", f">= {LEAST_RATIO} x the loops", ratio.text(), ratio.median >= LEAST_RATIO),
            Reach("cutting pass", f">= {LEAST_MB_PER_SECOND} MB/s", f"{speed.text(0)} MB/s", speed.median >= LEAST_MB_PER_SECOND),
        ),
    )


def table(rows: int) -> Path:
    """A CSV file of numbers and some text, made once."""
    file = TABLES / f"{rows}.csv"
    if not file.exists():
        TABLES.mkdir(parents=True, exist_ok=True)
        draw = random.Random(7)  # noqa: S311 - any numbers do
        unfinished = file.with_suffix(".unfinished")
        with unfinished.open("w") as stream:
            stream.write("number,a,b,c,d,text\n")
            for number in range(rows):
                a, b, c = (f"{draw.random():.6f}" for _ in range(3))
                stream.write(f"{number},{a},{b},{c},{draw.randrange(1000)},{draw.choice(WORDS)}\n")
        os.replace(unfinished, file)
    return file


def _by_engine(file: Path) -> Scored:
    with fresh_folder() as folder:
        command = [Path(sys.executable).parent / "batchinfer", "run", SCRIPT, "--table", "--input", file, "--output", folder / "output"]
        command += ["--append-row-file-name", "rows.txt", "--processes", str(WORKERS), "--mini-batch-size", str(CHUNK_BYTES)]
        command += ["--workspace", folder / "workspace", "--json"]
        (folder / "laps").mkdir()
        finished = run_side_by_side([command], {"BENCHMARK_LAPS": str(folder / "laps")}, folder)
        summary = json.loads(finished.stdout.splitlines()[-1])
        if summary["items_failed"] or summary["reused"]:
            raise ValueError(f"the run did not score everything afresh: {summary}")
        return Scored(read_workers(folder / "laps"), count_rows([folder / "output" / "rows.txt"]))


def _by_loops(file: Path) -> Scored:
    with fresh_folder() as folder:
        outputs = [folder / f"rows{worker}.txt" for worker in range(WORKERS)]
        program = [sys.executable, PROGRAMS / "table_loop.py", SCRIPT, file, str(CHUNK_BYTES)]
        (folder / "laps").mkdir()
        commands = [[*program, str(worker), str(WORKERS), output] for worker, output in enumerate(outputs)]
        run_side_by_side(commands, {"BENCHMARK_LAPS": str(folder / "laps")}, folder)
        return Scored(read_workers(folder / "laps"), count_rows(outputs))


def _cutting_pass(file: Path) -> float:
    from airflow_batchinfer.datasets import TabularDataset
    from airflow_batchinfer.tables.cutting import TableCut

    started = time.perf_counter()
    for _ in TableCut(TabularDataset.from_csv(str(file)), CHUNK_BYTES).slices():
        pass
    return time.perf_counter() - started
