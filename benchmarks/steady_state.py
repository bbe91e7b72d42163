"""S1: the engine against two hand-written loops while both work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import digits
from benchmarks.laps import Steady, columns_of, steady
from benchmarks.pairs import alternate, spread
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import WORKERS, Scored, Scoring, by_engine, by_loops, require_same_rows

if TYPE_CHECKING:
    from benchmarks.effort import Effort

LEAST_RATIO = {100: 0.95, 10: 0.85}


@dataclass(frozen=True)
class Compared:
    """The pairs of one mini-batch size."""

    mini_batch_size: int
    ours: list[Steady]
    theirs: list[Steady]

    def ratios(self) -> list[float]:
        """How fast the engine was, pair by pair, where the loops are 1."""
        return [ours.items_per_second / theirs.items_per_second for ours, theirs in zip(self.ours, self.theirs, strict=True)]


def measure(effort: Effort) -> Finding:
    """Compare at each mini-batch size."""
    digits.model()
    compared = [_compare(size, effort) for size in LEAST_RATIO]
    return Finding(
        title="S1: steady state, against hand-written loops",
        compared=f"`batchinfer run --processes {WORKERS}` with {WORKERS} plain Python processes, each of which calls `init()` once and "
        "`run()` for every other mini-batch and writes the rows to a file of its own. The script names the digit on 28x28 PNGs with "
        "Pillow and a 784-128-10 network in TensorFlow, on one thread per process.",
        method=f"{effort.scored_images:,} images, {effort.pairs} pairs. The script notes when each call of `run()` begins and ends. The "
        "steady state begins when the last worker is warm and ends with the first worker's last call, so imports, planning and merging "
        "count for neither side. *Call* is the time inside `run()`, *gap* the time from one call to the next, both medians.",
        table=Table(
            ("mini-batch", "side", "images/s", "call, us", "gap, us", "ratio"), tuple(row for each in compared for row in _rows(each))
        ),
        reaches=tuple(_reach(each) for each in compared),
    )


def _compare(mini_batch_size: int, effort: Effort) -> Compared:
    scoring = Scoring("digits_mlp.py", digits.images(effort.scored_images), mini_batch_size)
    runs = alternate(lambda: by_engine(scoring), lambda: by_loops(scoring), effort.pairs)
    require_same_rows([side for pair in runs for side in pair])
    return Compared(mini_batch_size, [_steady(ours) for ours, _ in runs], [_steady(theirs) for _, theirs in runs])


def _steady(scored: Scored) -> Steady:
    return steady(scored.workers, WORKERS)


def _rows(compared: Compared) -> list[tuple[str, ...]]:
    sides = (("engine", compared.ours, spread(compared.ratios()).text()), ("loops", compared.theirs, "1"))
    return [(str(compared.mini_batch_size), side, *columns_of(runs), ratio) for side, runs, ratio in sides]


def _reach(compared: Compared) -> Reach:
    least = LEAST_RATIO[compared.mini_batch_size]
    ratio = spread(compared.ratios())
    return Reach(f"images/s at mini-batch {compared.mini_batch_size}", f">= {least} x the loops", ratio.text(), ratio.median >= least)
