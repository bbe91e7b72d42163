"""S3: the engine against Ray Data, whole program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import digits
from benchmarks.pairs import Spread, alternate, spread
from benchmarks.ray_environment import RAY_VERSION
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import Scored, Scoring, by_engine, by_ray, require_same_rows

if TYPE_CHECKING:
    from benchmarks.effort import Effort

LEAST_RATIO = 2.0
MINI_BATCH_SIZE = 100
PROGRAMS = {"images": "Ray reads the images", "paths": "the script reads the images"}


def measure(effort: Effort) -> Finding:
    """Compare total times with each of the two Ray programs."""
    digits.model()
    scoring = Scoring("digits_mlp.py", digits.images(effort.images), MINI_BATCH_SIZE)
    runs = {source: _compare(scoring, source, effort) for source in PROGRAMS}
    ratios = {source: spread([theirs.seconds / ours.seconds for ours, theirs in pairs]) for source, pairs in runs.items()}
    return Finding(
        title="S3: the whole program, against Ray Data",
        compared=f"`batchinfer run --processes 2` with Ray Data {RAY_VERSION}, `map_batches` of the same network in a pool of two actors, "
        "in an environment of its own with the same TensorFlow, NumPy and Pillow. Ray is measured twice: as its documentation shows, with "
        "`read_images` in front of the pool; and as favourably as we could write it, where Ray hands out paths and the script reads the "
        "files, as it does under the engine. Dashboard and progress bars are off.",
        method=f"{effort.images:,} images at mini-batch {MINI_BATCH_SIZE}, {effort.pairs} pairs with each program, from the start of the "
        "command to its end. Importing TensorFlow is in every number and the greater part of the shorter ones.",
        table=Table(
            ("Ray program", "engine, s", "Ray, s", "Ray / engine"),
            tuple(_row(source, pairs, ratios[source]) for source, pairs in runs.items()),
        ),
        reaches=tuple(_reach(source, ratio) for source, ratio in ratios.items()),
    )


def _compare(scoring: Scoring, source: str, effort: Effort) -> list[tuple[Scored, Scored]]:
    runs = alternate(lambda: by_engine(scoring), lambda: by_ray(scoring, source), effort.pairs)
    require_same_rows([side for pair in runs for side in pair])
    return runs


def _row(source: str, runs: list[tuple[Scored, Scored]], ratio: Spread) -> tuple[str, ...]:
    ours = spread([ours.seconds for ours, _ in runs]).text(1)
    theirs = spread([theirs.seconds for _, theirs in runs]).text(1)
    return PROGRAMS[source], ours, theirs, ratio.text()


def _reach(source: str, ratio: Spread) -> Reach:
    return Reach(f"total time where {PROGRAMS[source]}", f">= {LEAST_RATIO:.0f} x faster", ratio.text(), ratio.median >= LEAST_RATIO)
