"""S2: the engine against two hand-written loops, from the start of the command to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import digits
from benchmarks.pairs import alternate, spread
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import Scoring, by_engine, by_loops, require_same_rows

if TYPE_CHECKING:
    from benchmarks.effort import Effort

MOST_RATIO = 1.15
MINI_BATCH_SIZE = 100


def measure(effort: Effort) -> Finding:
    """Compare total times."""
    digits.model()
    scoring = Scoring("digits_mlp.py", digits.images(effort.images), MINI_BATCH_SIZE)
    runs = alternate(lambda: by_engine(scoring), lambda: by_loops(scoring), effort.pairs)
    require_same_rows([side for pair in runs for side in pair])
    ratio = spread([ours.seconds / theirs.seconds for ours, theirs in runs])
    return Finding(
        title="S2: the whole command, against hand-written loops",
        compared="The same two sides and the same script as in S1, from the start of the first process to the end of the last: "
        "interpreter, imports (TensorFlow in both), listing, planning, scoring, merging.",
        method=f"{effort.images:,} images at mini-batch {MINI_BATCH_SIZE}, {effort.pairs} pairs, a fresh workspace for every run.",
        table=Table(
            ("side", "seconds", "ratio"),
            (
                ("engine", spread([ours.seconds for ours, _ in runs]).text(1), ratio.text()),
                ("loops", spread([theirs.seconds for _, theirs in runs]).text(1), "1"),
            ),
        ),
        reaches=(Reach("total time", f"<= {MOST_RATIO} x the loops", ratio.text(), ratio.median <= MOST_RATIO),),
    )
