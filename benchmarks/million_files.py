"""S6 and P6: listing and planning a million local files, in seconds and in memory."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import million
from benchmarks.commands import run_side_by_side
from benchmarks.pairs import alternate, spread
from benchmarks.places import PROGRAMS, fresh_folder
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import Scored, Scoring, by_engine

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.effort import Effort

MOST_SECONDS = 15
MOST_BYTES = 500_000_000
MOST_PAIRS = 3
MINI_BATCH_SIZE = 100


@dataclass(frozen=True)
class Listed:
    """The runs over one shape of the files."""

    shape: str
    planned: list[Scored]
    bare_seconds: list[float]

    def planned_seconds(self) -> list[float]:
        """From the start of the command to a complete plan."""
        return [run.planned_seconds for run in self.planned if run.planned_seconds is not None]

    def peak_bytes(self) -> int:
        """The most that any process of any run held."""
        return max(run.peak_bytes for run in self.planned)


def measure(effort: Effort) -> Finding:
    """Plan a tree and a flat folder of as many files."""
    shapes = {"a tree of folders": million.tree(effort.files), "one folder": million.flat(effort.files)}
    listed = [_list(shape, folder, min(effort.pairs, MOST_PAIRS)) for shape, folder in shapes.items()]
    return Finding(
        title="S6 and P6: planning a million files",
        compared="`batchinfer run` over empty local files, until its plan is complete, with the least that listing can cost in Python: "
        "scan, stat and sort in memory, nothing written.",
        method=f"{effort.files:,} files, {min(effort.pairs, MOST_PAIRS)} pairs. The plan is complete when the last file of the plan "
        "is there; the start of the command and its imports are counted. Memory is the operating system's peak of the largest process "
        f"of the whole command, which also scores the files with a script that does nothing, {MINI_BATCH_SIZE} to a mini-batch.",
        table=Table(
            ("files in", "planned after, s", "bare listing, s", "peak memory, MB", "whole command, s"), tuple(_row(each) for each in listed)
        ),
        reaches=tuple(reach for each in listed for reach in _reaches(each)),
    )


def _list(shape: str, folder: Path, pairs: int) -> Listed:
    scoring = Scoring("no_op.py", folder, MINI_BATCH_SIZE)
    runs = alternate(lambda: by_engine(scoring), lambda: _bare_listing(folder), pairs)
    return Listed(shape, [ours for ours, _ in runs], [seconds for _, seconds in runs])


def _bare_listing(folder: Path) -> float:
    with fresh_folder() as logs:
        return run_side_by_side([[sys.executable, PROGRAMS / "bare_listing.py", folder]], {}, logs).seconds


def _row(listed: Listed) -> tuple[str, ...]:
    planned, bare = spread(listed.planned_seconds()).text(1), spread(listed.bare_seconds).text(1)
    return listed.shape, planned, bare, f"{listed.peak_bytes() / 1e6:.0f}", spread([run.seconds for run in listed.planned]).text(1)


def _reaches(listed: Listed) -> tuple[Reach, Reach]:
    seconds, peak_bytes = spread(listed.planned_seconds()), listed.peak_bytes()
    return (
        Reach(f"planning {listed.shape}", f"<= {MOST_SECONDS} s", f"{seconds.text(1)} s", seconds.median <= MOST_SECONDS),
        Reach(f"memory with {listed.shape}", f"< {MOST_BYTES / 1e6:.0f} MB", f"{peak_bytes / 1e6:.0f} MB", peak_bytes < MOST_BYTES),
    )
