"""Turns the laps that `entry_scripts/stopwatch.py` left behind into a steady rate.

Steady means: from the moment the last worker is warm until the moment the first worker has made its
last call. Inside that window every worker works, so start-up, imports, planning and merging count for
neither side, and everything between two calls of `run()` does.
"""

from __future__ import annotations

import statistics
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.pairs import spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LAP = struct.Struct("<qqq")  # as written by entry_scripts/stopwatch.py

WARM_UP_CALLS = 5


@dataclass(frozen=True)
class Lap:
    """One call of `run()`."""

    started_ns: int
    ended_ns: int
    items: int


@dataclass(frozen=True)
class Steady:
    """The rate while all workers work, and what one call and one gap between calls cost."""

    items_per_second: float
    call_us: float
    gap_us: float
    window_seconds: float


def read_workers(folder: Path) -> list[list[Lap]]:
    """The laps of each worker, in the order it made them."""
    return [[Lap(*fields) for fields in _LAP.iter_unpack(path.read_bytes())] for path in sorted(folder.glob("*.laps"))]


def steady(workers: Sequence[Sequence[Lap]], expected_workers: int) -> Steady:
    """The steady rate of a run that had exactly `expected_workers` workers."""
    if len(workers) != expected_workers:
        raise ValueError(f"{len(workers)} processes called run(), expected {expected_workers}")
    begin = max(laps[WARM_UP_CALLS - 1].ended_ns for laps in workers)
    end = min(laps[-1].ended_ns for laps in workers)
    if begin >= end:
        raise ValueError("one worker was done before the other was warm: score more items")
    inside = [[lap for lap in laps if begin < lap.ended_ns <= end] for laps in workers]
    window_seconds = (end - begin) / 1e9
    items = sum(lap.items for laps in inside for lap in laps)
    return Steady(items / window_seconds, _median_call_us(inside), _median_gap_us(inside), window_seconds)


def columns_of(runs: Sequence[Steady]) -> tuple[str, str, str]:
    """Rate, call and gap of some runs, for a table."""
    rate, call, gap = ([getattr(run, what) for run in runs] for what in ("items_per_second", "call_us", "gap_us"))
    return spread(rate).text(0), spread(call).text(0), spread(gap).text(0)


def _median_call_us(workers: Sequence[Sequence[Lap]]) -> float:
    return statistics.median(lap.ended_ns - lap.started_ns for laps in workers for lap in laps) / 1e3


def _median_gap_us(workers: Sequence[Sequence[Lap]]) -> float:
    return statistics.median(after.started_ns - before.ended_ns for laps in workers for before, after in pairwise(laps)) / 1e3
