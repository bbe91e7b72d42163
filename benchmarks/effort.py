"""How much to measure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How many pairs make a ratio, and how far the sizes go."""

    pairs: int
    images: int
    scored_images: int
    files: int
    most_mini_batches: int


QUICK = Effort(pairs=1, images=10_000, scored_images=60_000, files=100_000, most_mini_batches=10_000)
NORMAL = Effort(pairs=5, images=60_000, scored_images=240_000, files=1_000_000, most_mini_batches=100_000)
FULL = Effort(pairs=9, images=60_000, scored_images=240_000, files=1_000_000, most_mini_batches=1_000_000)
