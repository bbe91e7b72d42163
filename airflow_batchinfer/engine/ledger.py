"""Attempts, outcomes and verdicts: pure bookkeeping. No I/O, no process, no clock; every decision about failure is here.

An attempt ends as `Succeeded` or `Failed`. The ledger answers with a verdict: the mini-batch is done, tried again, isolated
(halved until the items that fail are found) or given up, or the whole run aborts because more has failed than it allows.
"""

from dataclasses import dataclass
from enum import Enum

from airflow_batchinfer.planning.thresholds import Counts, Thresholds


@dataclass(frozen=True)
class Succeeded:
    """`run()` returned rows; `failed_items` were lost before it or gave no row."""

    rows: int
    failed_items: int
    expected_rows: int


@dataclass(frozen=True)
class Failed:
    """An attempt that gave nothing. `key` is what failures of one cause have in common; one that is `indivisible` says as little
    of any part, so that halving finds nothing. `of` are how many items the whole mini-batch has, if a worker could say so.
    """

    reason: str
    key: str
    traceback: str = ""
    indivisible: bool = False
    of: int | None = None


Outcome = Succeeded | Failed


class Verdict(Enum):
    """What follows from an attempt."""

    DONE = "done"
    RETRY = "retry"
    ISOLATE = "isolate"
    GIVE_UP = "give up"
    ABORT = "abort"


class Ledger:
    """Attempts of the mini-batches that this node holds, and what is decided but not committed yet."""

    def __init__(self, thresholds: Thresholds, max_tries: int, *, isolates: bool = False) -> None:
        self._thresholds = thresholds
        self._max_tries = max_tries
        self._isolates = isolates
        self._isolating: set[int] = set()
        self._tries: dict[int, int] = {}
        self._uncommitted: dict[int, Counts] = {}
        self._total = Counts()

    def judge(self, mini_batch: int, items: int, outcome: Outcome, committed: Counts) -> tuple[Verdict, Counts]:
        """Enter an attempt's outcome; `committed` is what all nodes have committed so far."""
        tries = self._tries.pop(mini_batch, 0) + 1
        if isinstance(outcome, Failed) and tries < self._max_tries:
            self._tries[mini_batch] = tries
            return Verdict.RETRY, Counts()
        if isinstance(outcome, Failed) and self._is_to_be_isolated(mini_batch, items, outcome):
            self._isolating.add(mini_batch)
            self._tries[mini_batch] = tries
            return Verdict.ISOLATE, Counts(attempts=tries)
        self._isolating.discard(mini_batch)
        counts = _counts(items, outcome, tries)
        self._count(mini_batch, counts)
        if self.spent(committed):
            return Verdict.ABORT, counts
        return (Verdict.GIVE_UP if isinstance(outcome, Failed) else Verdict.DONE), counts

    def judge_part(self, mini_batch: int, items_failed: int, committed: Counts) -> Verdict:
        """Enter the call of a part after which others are still to be called; so many items are known to have failed by now."""
        self._tries[mini_batch] += 1
        self._count(mini_batch, Counts(items_failed=items_failed))
        return Verdict.ABORT if self.spent(committed) else Verdict.ISOLATE

    def settle(self, mini_batches: list[int]) -> None:
        """These are committed, or no longer ours: count them here no more."""
        for mini_batch in mini_batches:
            self._isolating.discard(mini_batch)
            self._tries.pop(mini_batch, None)
            counts = self._uncommitted.pop(mini_batch, None)
            if counts:
                self._total = self._total.minus(counts)

    def spent(self, committed: Counts) -> str | None:
        """Why the run must abort, or None: what all nodes committed and what only we know, taken together."""
        return self._thresholds.exceeded(committed.plus(self._total))

    @property
    def uncommitted(self) -> Counts:
        """What only we know."""
        return self._total

    def _is_to_be_isolated(self, mini_batch: int, items: int, failure: Failed) -> bool:
        return self._isolates and items > 1 and not failure.indivisible and mini_batch not in self._isolating

    def _count(self, mini_batch: int, counts: Counts) -> None:
        self._total = self._total.minus(self._uncommitted.get(mini_batch, Counts())).plus(counts)
        self._uncommitted[mini_batch] = counts


def _counts(items: int, outcome: Outcome, attempts: int) -> Counts:
    match outcome:
        case Failed():
            return Counts(mini_batches=1, mini_batches_failed=1, items=items, items_failed=items, attempts=attempts)
        case Succeeded(rows, failed_items, expected_rows):
            return Counts(
                mini_batches=1,
                items=items,
                items_failed=failed_items,
                rows=rows,
                attempts=attempts,
                mini_batches_with_more_rows=int(rows > expected_rows),
                mini_batches_with_fewer_rows=int(rows < expected_rows),
            )


class Patience:
    """How long a node bears that nothing works; pure: the time is told to it."""

    FIRST_SECONDS = 600.0
    OVERHEAD_SECONDS = 20.0

    def __init__(self, run_timeout_seconds: float, nodes: int, processes: int) -> None:
        self._limit_seconds = 3 * (run_timeout_seconds + self.OVERHEAD_SECONDS)
        self._node_failures = 3 * processes
        self._job_failures = 2 * nodes * processes
        self._since: float | None = None
        self._progressed = False
        self.init_failures = 0

    def progressed(self, now: float) -> None:
        """An attempt ended, well or not."""
        self._since = now
        self._progressed = True

    def waiting(self, now: float) -> None:
        """There is work for the workers from now on."""
        if self._since is None:
            self._since = now

    def resting(self) -> None:
        """There is nothing to do, so nothing is late."""
        self._since = None

    def init_failed(self) -> None:
        """A worker's `init()` failed."""
        self.init_failures += 1

    def lost_with(self, others_init_failures: int) -> str | None:
        """Why `init()` need not be tried again, or None."""
        if self.init_failures >= self._node_failures:
            return f"init() failed {self.init_failures} times on this node"
        together = self.init_failures + others_init_failures
        if together >= self._job_failures:
            return f"init() failed {together} times"
        return None

    def stuck(self, now: float) -> str | None:
        """Why the node gives up waiting, or None."""
        limit = self._limit_seconds if self._progressed else max(self.FIRST_SECONDS, self._limit_seconds)
        if self._since is None or now - self._since < limit:
            return None
        return f"no mini-batch came to an end, and no worker got ready, for {limit:.0f} s"
