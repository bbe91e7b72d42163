"""What has been counted, and how much failure a run allows. Values only."""

from dataclasses import dataclass
from operator import add, sub
from typing import NamedTuple


class Counts(NamedTuple):
    """What came of some mini-batches; those of parts add up to those of the whole. A tuple, since there are very many."""

    mini_batches: int = 0
    mini_batches_failed: int = 0
    items: int = 0
    items_failed: int = 0
    rows: int = 0
    attempts: int = 0
    mini_batches_with_more_rows: int = 0
    mini_batches_with_fewer_rows: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts._make(map(add, self, other))

    def minus(self, other: "Counts") -> "Counts":
        """What is left without the others."""
        return Counts._make(map(sub, self, other))

    @property
    def items_succeeded(self) -> int:
        """Items that gave a row."""
        return self.items - self.items_failed


@dataclass(frozen=True)
class Thresholds:
    """How much may fail; exactly as much as a threshold says is not over it. -1 and None set no limit."""

    error_threshold: int = 0
    allowed_failed_count: int | None = None
    allowed_failed_percent: float | None = None

    def exceeded(self, counts: Counts) -> str | None:
        """Why a running job must stop, or None."""
        if 0 <= self.error_threshold < counts.items_failed:
            return f"{counted(counts.items_failed, 'item')} failed, more than error_threshold={self.error_threshold} allows"
        allowed = self.allowed_failed_count
        if allowed is not None and 0 <= allowed < counts.mini_batches_failed:
            failed = counted(counts.mini_batches_failed, "mini-batch", "es")
            return f"{failed} failed, more than allowed_failed_count={allowed} allows"
        return None

    def exceeded_at_the_end(self, counts: Counts) -> str | None:
        """Why a job whose every mini-batch has an outcome failed all the same, or None."""
        if spent := self.exceeded(counts):
            return spent
        allowed = self.allowed_failed_percent
        if allowed is not None and counts.mini_batches_failed * 100 > allowed * counts.mini_batches:
            failed = f"{counts.mini_batches_failed} of {counted(counts.mini_batches, 'mini-batch', 'es')}"
            return f"{failed} failed, more than allowed_failed_percent={allowed:g} allows"
        if counts.items and not counts.items_succeeded:
            return f"not one of {counted(counts.items, 'item')} succeeded"
        return None


def counted(number: int, noun: str, plural: str = "s") -> str:
    """A number with its noun, as a person would say it."""
    return f"{number:,} {noun}{'' if number == 1 else plural}"
