"""The sides of the comparisons: the engine as a command, two hand-written loops, and Ray Data.

All run the same entry script over the same files in two worker processes, and are looked at from
outside: wall time, memory, the rows they wrote, and the laps that the script itself noted.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.commands import Command, Finished, run_side_by_side
from benchmarks.laps import Lap, read_workers
from benchmarks.places import ENTRY_SCRIPTS, MODEL, PROGRAMS, fresh_folder
from benchmarks.ray_environment import interpreter

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKERS = 2


@dataclass(frozen=True)
class Scoring:
    """What is scored: a script over the files of a folder, so many to a mini-batch."""

    script: str
    folder: Path
    mini_batch_size: int


@dataclass(frozen=True)
class Rows:
    """How many rows were written, and a digest that does not depend on their order."""

    count: int
    digest: int


class HasRows(Protocol):
    """A side's run, whatever else is known of it."""

    @property
    def rows(self) -> Rows: ...


@dataclass(frozen=True)
class Scored:
    """One side's run. `planned_seconds` is when the engine's plan was complete, from the start."""

    seconds: float
    peak_bytes: int
    workers: list[list[Lap]]
    rows: Rows
    planned_seconds: float | None = None


def by_engine(scoring: Scoring) -> Scored:
    """`batchinfer run` in a fresh workspace."""
    with fresh_folder() as folder:
        command = [Path(sys.executable).parent / "batchinfer", "run", ENTRY_SCRIPTS / scoring.script]
        command += ["--input", scoring.folder, "--output", folder / "output", "--append-row-file-name", "rows.txt"]
        command += ["--mini-batch-size", str(scoring.mini_batch_size), "--processes", str(WORKERS)]
        command += ["--workspace", folder / "workspace", "--json"]
        finished = _run([command], folder)
        _require_all_scored(json.loads(finished.stdout.splitlines()[-1]))
        planned = next((folder / "workspace" / "jobs").glob("*/job.json")).stat().st_mtime  # a plan's last file
        return _scored(finished, folder, [folder / "output" / "rows.txt"], planned - finished.started_at)


def by_loops(scoring: Scoring) -> Scored:
    """Two hand-written loops side by side, each with its own output file."""
    with fresh_folder() as folder:
        outputs = [folder / f"rows{worker}.txt" for worker in range(WORKERS)]
        commands = [_loop(scoring, worker, output) for worker, output in enumerate(outputs)]
        return _scored(_run(commands, folder), folder, outputs)


def by_ray(scoring: Scoring, source: str) -> Scored:
    """Ray Data with two actors, fed with `paths` or with `images` that Ray reads."""
    with fresh_folder() as folder:
        output = folder / "rows.txt"
        program = [interpreter(), PROGRAMS / "ray_program.py", source, ENTRY_SCRIPTS / scoring.script]
        return _scored(_run([[*program, scoring.folder, str(scoring.mini_batch_size), output]], folder), folder, [output])


def require_same_rows(runs: Sequence[HasRows]) -> None:
    """A comparison of sides that computed different things would mean nothing."""
    if len({run.rows for run in runs}) > 1:
        raise ValueError(f"the sides wrote different rows: {[run.rows for run in runs]}")


def _loop(scoring: Scoring, worker: int, output: Path) -> Command:
    program = [sys.executable, PROGRAMS / "hand_written_loop.py", ENTRY_SCRIPTS / scoring.script]
    return [*program, scoring.folder, str(scoring.mini_batch_size), str(worker), str(WORKERS), output]


def _run(commands: Sequence[Command], folder: Path) -> Finished:
    (folder / "laps").mkdir()
    environment = {"AZUREML_MODEL_DIR": str(MODEL), "BENCHMARK_LAPS": str(folder / "laps")}
    return run_side_by_side(commands, environment, folder)


def _require_all_scored(summary: dict[str, object]) -> None:
    if summary["reused"] or summary["resumed"] or summary["items_failed"]:
        raise ValueError(f"the run did not score everything afresh: {summary}")


def _scored(finished: Finished, folder: Path, outputs: Sequence[Path], planned_seconds: float | None = None) -> Scored:
    workers = read_workers(folder / "laps")
    return Scored(finished.seconds, finished.peak_bytes, workers, count_rows(outputs), planned_seconds)


def count_rows(outputs: Sequence[Path]) -> Rows:
    """The rows of all the files."""
    count = digest = 0
    for output in outputs:
        with output.open("rb") as lines:
            for line in lines:  # one at a time: what this process holds would show in the peak of those it starts
                count += 1
                digest += int.from_bytes(hashlib.blake2b(line, digest_size=8).digest())
    return Rows(count, digest % 2**64)
