"""Compares two sides in turn, A B A B, and sums up the ratios pair by pair.

A shared machine's speed drifts; the two runs of a pair lie next to each other in time, so the drift
cancels in their ratio, and the median drops the pair that met a noisy neighbour.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, and how far they lay apart."""

    median: float
    least: float
    most: float

    def text(self, digits: int = 2) -> str:
        """For a table: `0.97 (0.95-0.99)`."""
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}-{self.most:,.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Sum up several measurements of one thing."""
    return Spread(statistics.median(values), min(values), max(values))


def alternate(ours: Callable[[], A], theirs: Callable[[], B], pairs: int) -> list[tuple[A, B]]:
    """Run one side, then the other, `pairs` times, after one uncounted run of each."""
    ours()
    theirs()
    return [(ours(), theirs()) for _ in range(pairs)]
