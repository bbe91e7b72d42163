"""How far a job is, for whoever watches: a value, made from the same counts by which it is decided."""

from dataclasses import dataclass

from airflow_batchinfer.planning.thresholds import Counts


@dataclass(frozen=True)
class Progress:
    """A job at a moment. Speed and remaining time count from where this node began."""

    mini_batches: int
    items: int
    counts: Counts
    items_at_start: int
    seconds: float
    workers: int

    @property
    def items_per_second(self) -> float:
        """Since this node began."""
        return max(0, self.counts.items - self.items_at_start) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At this speed; None before there is one, and when nothing is left."""
        items_left, speed = self.items - self.counts.items, self.items_per_second
        return items_left / speed if items_left and speed else None

    @property
    def is_done(self) -> bool:
        """Whether every mini-batch has an outcome."""
        return self.counts.mini_batches >= self.mini_batches

    def __str__(self) -> str:
        failed = f", {self.counts.items_failed:,} failed" if self.counts.items_failed else ""
        left = "" if self.seconds_left is None else f", about {duration(self.seconds_left)} left"
        share = 100 * self.counts.items // self.items if self.items else 100
        return f"{self.counts.items:,} of {self.items:,} items ({share} %), {self.items_per_second:,.0f} items/s{failed}{left}"


def duration(seconds: float) -> str:
    """A time span as a person would say it."""
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole:02d} s" if minutes else f"{whole} s"
