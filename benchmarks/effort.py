"""How much to measure."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Effort:
    """How many pairs make a ratio, and how far the sizes go."""

    pairs: int
    images: int
    scored_images: int
    files: int
    photos: int
    table_rows: int
    mapped_mini_batches: int
    mapped_runs: int
    most_mini_batches: int
    faults_seconds: float


QUICK = Effort(
    pairs=1,
    images=10_000,
    scored_images=60_000,
    files=100_000,
    photos=2_000,
    table_rows=1_000_000,
    mapped_mini_batches=4,
    mapped_runs=1,
    most_mini_batches=10_000,
    faults_seconds=60.0,
)
NORMAL = Effort(
    pairs=5,
    images=60_000,
    scored_images=240_000,
    files=1_000_000,
    photos=6_000,
    table_rows=5_000_000,
    mapped_mini_batches=200,
    mapped_runs=1,
    most_mini_batches=100_000,
    faults_seconds=600.0,
)
FULL = replace(NORMAL, pairs=9, mapped_runs=3, most_mini_batches=1_000_000)
