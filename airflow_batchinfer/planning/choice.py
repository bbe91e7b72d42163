"""Which job a run works on: one that is complete, one that can go on, or a new one. A pure decision.

A *generation* is one go at a job: a failure binds within it. It ends when a merge or an abort ends it, and whoever joins
later opens the next, in which what failed is tried again. What succeeded is never tried again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_batchinfer.planning.thresholds import Counts, Thresholds


@dataclass(frozen=True)
class Ending:
    """How a generation ended: by a merge, with these counts, as seen by the generation `view`; or by an abort.

    A merge that found too much failed for its run has published nothing, but another run may allow more.
    """

    view: int
    counts: Counts | None
    published: bool = False


@dataclass(frozen=True)
class Existing:
    """A job with our fingerprint, and how its generations so far ended."""

    name: str
    number: int
    endings: tuple[Ending, ...]

    @property
    def merged(self) -> Ending | None:
        """The last merge; that another run aborted since takes nothing from it."""
        return next((ending for ending in reversed(self.endings) if ending.counts), None)

    @property
    def generation(self) -> int:
        """The one that whoever joins now works in: the first that nobody has ended."""
        return max((ending.view + 1 for ending in self.endings), default=0)


@dataclass(frozen=True)
class Reuse:
    """The job is complete and good enough; show its result again, as the generation `view` saw it."""

    job: str
    view: int


@dataclass(frozen=True)
class Continue:
    """Work on this job, in this generation."""

    job: str
    generation: int


@dataclass(frozen=True)
class Create:
    """Nothing can be taken up: make a job of this number."""

    number: int


Choice = Reuse | Continue | Create


def choose(existing: Sequence[Existing], thresholds: Thresholds, unfinished: str | None, last_number: int, *, allow_reuse: bool) -> Choice:
    """Choose among the jobs with our fingerprint; `unfinished` is the one that this very run has begun and not ended.

    `last_number` is the highest that was ever given to one of them, deleted ones included.
    """
    newest_first = sorted(existing, key=lambda job: job.number, reverse=True)
    if allow_reuse:
        for job in newest_first:
            merged = job.merged
            if merged and merged.counts and not thresholds.exceeded_at_the_end(merged.counts):
                return Reuse(job.name, merged.view)
    own_first = sorted(newest_first, key=lambda job: job.name != unfinished)
    for job in own_first:
        if allow_reuse or job.name == unfinished:
            return Continue(job.name, job.generation)
    return Create(last_number + 1)
