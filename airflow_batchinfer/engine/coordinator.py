"""The one loop of a node: blocks in, mini-batches to workers, outcomes to the ledger, rows to the block log.

    Recorder --claim--> todo --> [Fetcher] --> stock --> Supervisor --attempt--> Ledger --verdict--> settled --> Recorder
       ^                                         ^                                  |                              |
       |                                         +------------- RETRY --------------+                              |
       +------------------------------------------- commit --------------------------------------------------------+

Everything slow happens elsewhere: storage in the recorder's thread, downloads in the fetcher's, output in printing's, the
script in its own process. Invariant: a mini-batch of a block that we hold is in exactly one of todo, coming, stock, a
worker's queue, or settled.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from airflow_batchinfer.engine.fetching import Fetched, Fetcher
from airflow_batchinfer.engine.heartbeats import Pulse
from airflow_batchinfer.engine.ledger import Failed, Ledger, Patience, Succeeded, Verdict
from airflow_batchinfer.engine.outputs import TOO_FEW_ROWS, Settled, error_line
from airflow_batchinfer.engine.progress import Progress
from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.engine.recorder import Answer, Claimed, Committed, Recorder, Refreshed
from airflow_batchinfer.engine.supervisor import Attempted, Event, HandedBack, InitEnded, Place, ScriptUnusable, Supervisor, WorkerReady
from airflow_batchinfer.errors import ScriptError, WorkersUnavailable
from airflow_batchinfer.planning.cutting import block_of
from airflow_batchinfer.planning.plan import items_of
from airflow_batchinfer.planning.spec import Job
from airflow_batchinfer.planning.thresholds import counted

log = logging.getLogger(__name__)

COMMIT_SECONDS = 4.0
COMMIT_BYTES = 16 << 20
MOST_UNANSWERED_BYTES = 4 * COMMIT_BYTES
FAILURE_PAUSE_SECONDS = 0.5
REFRESH_SECONDS = 2.0
REFRESH_SHARE = 0.25
TICK_SECONDS = 0.25
AHEAD_SECONDS = 0.05
CLAIM_SECONDS = 1.0
MOST_AHEAD = 16
REST_SHARE = 0.2
MENTIONS = 2
MOST_KINDS = 100
Report = Callable[[Progress], None]
Clock = Callable[[], float]


class Spent(Exception):
    """More failed than the run allows; what was decided so far is committed. The text says which limit."""


@dataclass
class Holding:
    """A block that we hold: its mini-batches without an outcome, and what is settled but not committed."""

    claim_id: str
    left: set[int]
    settled: list[Settled] = field(default_factory=list)
    settled_bytes: int = 0
    oldest: float | None = None
    has_failures: bool = False


class Coordinator:
    """Works until nothing of the job is left to claim; see `shift`."""

    def __init__(
        self, job: Job, recorder: Recorder, pulse: Pulse, ledger: Ledger, patience: Patience, report: Report, clock: Clock = time.monotonic
    ) -> None:
        self._job = job
        self._ranges = job.blocks()
        self._committed = recorder.blocks.counts
        self._recorder = recorder
        self._pulse = pulse
        self._ledger = ledger
        self._patience = patience
        self._report = report
        self._clock = clock
        self._began = clock()
        self._items_at_start = self._committed.items
        self._held: dict[int, Holding] = {}
        self._lines: dict[int, bytes] = {}
        self._lost: dict[int, tuple[tuple[str, str], ...]] = {}
        self._todo: deque[int] = deque()
        self._stock: deque[Fetched] = deque()
        self._run_seconds = 1.0
        self._given_at: dict[int, float] = {}
        self._asked_for_claim = False
        self._dry = False
        self._unanswered_bytes = 0
        self._mentioned: Counter[str] = Counter()
        self._committed_at = 0.0
        self._refreshed_at = clock()
        self._refresh_seconds = REFRESH_SECONDS
        self._reported_at = 0.0

    def claim(self) -> bool:
        """Claim a block now; False if there is none to be had."""
        self._recorder.claim()
        self._wait()
        return bool(self._held)

    def refresh(self) -> None:
        """Read now what all nodes have done. Raises `Spent` if they have failed too much."""
        self._recorder.refresh()
        self._wait()

    def shift(self, supervisor: Supervisor, fetcher: Fetcher, places: Sequence[Place]) -> None:
        """Work until everything that we hold is committed and nothing more could be claimed."""
        self._dry = False
        while self._held or self._recorder.is_busy:
            supervisor.staff(places[: len(self._lines)])
            self._ask_for_more(len(places))
            self._hand_out(supervisor, fetcher, len(places))
            self._watch(supervisor, fetcher)
            for event in supervisor.poll(TICK_SECONDS, self._rest_seconds()):
                self._note(event, fetcher)
            for answer in self._recorder.answers():
                self._follow(answer, fetcher)
            self._commit_what_is_due()
            self._tell(len(places))
        self._patience.resting()

    def _wait(self) -> None:
        for answer in self._recorder.wait():
            self._follow(answer, None)

    def commit_all(self, timeout_seconds: float) -> None:
        """Commit what is settled, whoever or whatever ends this node; no longer than that."""
        for block in list(self._held):
            self._commit(block)
        self._recorder.wait(timeout_seconds)

    def check_thresholds(self) -> None:
        """Raise `Spent` if all nodes together have failed too much."""
        if reason := self._ledger.spent(self._committed):
            raise Spent(reason)

    def tell(self, workers: int) -> None:
        """Report how far the job is."""
        counts = self._committed.plus(self._ledger.uncommitted)
        seconds = self._clock() - self._began
        self._report(Progress(self._job.mini_batches, self._job.items, counts, self._items_at_start, seconds, workers))

    def _accept(self, claimed: Claimed) -> None:
        self._asked_for_claim = False
        if claimed.claim is None:
            self._dry = True
        elif claimed.claim.todo:
            self._held[claimed.claim.block] = Holding(claimed.claim.claim_id, set(claimed.claim.todo))
            self._lines |= claimed.lines
            self._todo.extend(claimed.claim.todo)

    def _ask_for_more(self, processes: int) -> None:
        if not self._asked_for_claim and not self._dry and len(self._todo) + len(self._stock) <= processes * self._reserve():
            self._asked_for_claim = True
            self._recorder.claim()
        now = self._clock()
        if now - self._refreshed_at >= self._refresh_seconds:
            self._refreshed_at = now
            self._recorder.refresh()

    def _hand_out(self, supervisor: Supervisor, fetcher: Fetcher, processes: int) -> None:
        for fetched in fetcher.ready():
            if fetched.mini_batch in self._lines:
                self._lost[fetched.mini_batch] = fetched.lost
                self._stock.append(fetched)
            else:
                fetcher.discard(fetched.mini_batch)
        if self._unanswered_bytes > MOST_UNANSWERED_BYTES:
            return  # storage is slower than the scripts; what they make must not pile up here
        while self._todo and len(self._stock) + fetcher.on_their_way < 2 * processes * self._depth():
            mini_batch = self._todo.popleft()
            line = self._lines.get(mini_batch)
            if line is None:
                continue  # handed back after its block was lost
            if fetcher.is_needed(line):
                fetcher.fetch(mini_batch, line)
            else:
                self._stock.append(Fetched(mini_batch, line))
        while self._stock and (worker := supervisor.least_busy(self._depth())):
            fetched = self._stock.popleft()
            self._given_at[fetched.mini_batch] = self._clock()
            supervisor.give(worker, fetched.mini_batch, fetched.line)

    def _depth(self) -> int:
        """How many mini-batches a worker is given at once: as many as hide the way to it and back, one if they are slow."""
        return 1 + min(MOST_AHEAD - 1, int(AHEAD_SECONDS / self._run_seconds))

    def _reserve(self) -> int:
        """How many mini-batches for each worker must be at hand while the next block is claimed, which may wait behind a commit."""
        return self._depth() + int(CLAIM_SECONDS / self._run_seconds)

    def _rest_seconds(self) -> float:
        """How long answers may gather before they are read: while every worker has much to do, each look costs more than it brings."""
        return REST_SHARE * self._depth() * self._run_seconds if self._depth() >= MOST_AHEAD // 2 else 0.0

    def _note(self, event: Event, fetcher: Fetcher) -> None:
        now = self._clock()
        match event:
            case WorkerReady():
                self._patience.progressed(now)
            case HandedBack(mini_batch):
                self._again(mini_batch, fetcher)
            case Attempted(mini_batch, result):
                self._patience.progressed(now)
                if mini_batch in self._lines:
                    self._judge(mini_batch, result, fetcher)
            case InitEnded(failure):
                self._patience.init_failed()
                self._pulse.say_init_failures(self._patience.init_failures)
                if why := self._patience.lost_with(self._recorder.witness.init_failures()):
                    raise ScriptError(f"{why}: {failure.reason}. Mend the script, or what it loads, and run it again", failure.traceback)
            case ScriptUnusable(reason):
                raise ScriptError(f"the entry script cannot be used: {reason}")

    def _judge(self, mini_batch: int, result: Done | Failed, fetcher: Fetcher) -> None:
        lost = self._lost.get(mini_batch, ())
        if isinstance(result, Done):
            items = result.items + len(lost)
            lost += result.lost
        else:
            items = len(items_of(self._lines[mini_batch]))
        outcome = _outcome(result, items, lost)
        self._learn_speed(mini_batch)
        verdict, counts = self._ledger.judge(mini_batch, items, outcome, self._committed)
        if isinstance(outcome, Failed):
            self._mention(mini_batch, outcome, verdict)
        if verdict is Verdict.RETRY:
            self._again(mini_batch, fetcher)
            return
        if isinstance(outcome, Failed):
            paths = [item.path for item in items_of(self._lines[mini_batch])]
            errors = error_line(mini_batch, paths, counts.attempts, outcome)
            self._settle(Settled(mini_batch, succeeded=False, counts=counts, errors=errors), fetcher)
        elif isinstance(result, Done):
            errors = b"".join(error_line(mini_batch, [path], 0, Failed(reason, reason)) for path, reason in lost)
            if missing := counts.items_failed - len(lost):
                errors += self._too_few_rows(mini_batch, result, missing)
            self._settle(
                Settled(mini_batch, succeeded=True, counts=counts, rows=result.text, header_bytes=result.header_bytes, errors=errors),
                fetcher,
            )
        if verdict is Verdict.ABORT:
            self.check_thresholds()

    def _too_few_rows(self, mini_batch: int, result: Done, missing: int) -> bytes:
        paths = [item.path for item in items_of(self._lines[mini_batch])]
        items = counted(result.items - len(result.lost), "item")
        reason = f"run() returned {counted(result.rows, 'row')} for {items}, so {missing} failed"
        return error_line(mini_batch, paths, 1, Failed(reason, TOO_FEW_ROWS), missing)

    def _mention(self, mini_batch: int, failure: Failed, verdict: Verdict) -> None:
        """Log a failure: the first ones of a kind with all that is known, the others in a line."""
        self._mentioned[failure.key] += 1
        told = f"\n{failure.traceback.rstrip()}" if self._mentioned[failure.key] <= MENTIONS and len(self._mentioned) < MOST_KINDS else ""
        what_follows = "is tried again" if verdict is Verdict.RETRY else "failed"
        log.warning("mini-batch %d %s: %s%s", mini_batch, what_follows, failure.reason, told)

    def _again(self, mini_batch: int, fetcher: Fetcher) -> None:
        if mini_batch in self._lines:
            fetcher.discard(mini_batch)
            self._todo.appendleft(mini_batch)

    def _settle(self, settled: Settled, fetcher: Fetcher) -> None:
        holding = self._held[self._block_of(settled.mini_batch)]
        holding.left.discard(settled.mini_batch)
        holding.settled.append(settled)
        holding.settled_bytes += settled.size_bytes
        holding.oldest = holding.oldest or self._clock()
        holding.has_failures |= settled.counts.items_failed > 0
        self._forget(settled.mini_batch, fetcher)

    def _forget(self, mini_batch: int, fetcher: Fetcher) -> None:
        if self._lines.pop(mini_batch, None) and mini_batch in self._lost:
            del self._lost[mini_batch]
            fetcher.discard(mini_batch)
        self._given_at.pop(mini_batch, None)

    def _learn_speed(self, mini_batch: int) -> None:
        """How long a mini-batch takes, about: from when it was given, which says too much while some wait at the worker."""
        seconds = (self._clock() - self._given_at.get(mini_batch, 0.0)) / self._depth()
        self._run_seconds += 0.2 * (seconds - self._run_seconds)

    def _commit_what_is_due(self) -> None:
        now = self._clock()
        for block, holding in list(self._held.items()):
            age = now - holding.oldest if holding.oldest is not None else 0.0
            failures_wait = holding.has_failures and now - self._committed_at >= FAILURE_PAUSE_SECONDS
            if holding.settled and (not holding.left or age >= COMMIT_SECONDS or holding.settled_bytes >= COMMIT_BYTES or failures_wait):
                self._commit(block)

    def _commit(self, block: int) -> None:
        holding = self._held[block]
        if holding.settled:
            self._committed_at = self._clock()
            self._unanswered_bytes += holding.settled_bytes
            self._recorder.commit(block, holding.claim_id, holding.settled)
            self._held[block] = Holding(holding.claim_id, holding.left)
        if not holding.left:
            del self._held[block]

    def _follow(self, answer: Answer, fetcher: Fetcher | None) -> None:
        self._committed = answer.counts
        match answer:
            case Claimed():
                self._accept(answer)
            case Refreshed(_, seconds):
                self._dry = False
                self._refresh_seconds = max(REFRESH_SECONDS, seconds / REFRESH_SHARE)
                self.check_thresholds()
            case Committed(_, block, claim_id, settled, lost):
                self._unanswered_bytes -= sum(each.size_bytes for each in settled)
                self._ledger.settle([each.mini_batch for each in settled])
                holding = self._held.get(block)
                if lost:
                    log.warning("block %d was taken over by another node; what this one did of it and had not committed is dropped", block)
                if lost and fetcher and holding and holding.claim_id == claim_id:
                    self._drop(block, holding, fetcher)

    def _drop(self, block: int, holding: Holding, fetcher: Fetcher) -> None:
        """The block is another node's now: nothing of it is ours any more, also what is still running."""
        del self._held[block]
        ours = set(self._ranges[block])
        self._todo = deque(number for number in self._todo if number not in ours)
        self._stock = deque(fetched for fetched in self._stock if fetched.mini_batch not in ours)
        self._ledger.settle([each.mini_batch for each in holding.settled])
        self._ledger.settle(list(ours))
        for number in ours:
            self._forget(number, fetcher)

    def _watch(self, supervisor: Supervisor, fetcher: Fetcher) -> None:
        if supervisor.is_occupied or self._todo or self._stock or fetcher.on_their_way:
            self._patience.waiting(self._clock())
        else:
            self._patience.resting()
        if why := self._patience.stuck(self._clock()):
            raise WorkersUnavailable(f"{why}. What the workers printed is in the job's folder; mend it and run it again to resume")

    def _tell(self, workers: int) -> None:
        now = self._clock()
        if now - self._reported_at >= TICK_SECONDS:
            self._reported_at = now
            self.tell(workers)

    def _block_of(self, mini_batch: int) -> int:
        return block_of(self._ranges, mini_batch)


def _outcome(result: Done | Failed, items: int, lost: Sequence[tuple[str, str]]) -> Succeeded | Failed:
    """What an attempt's result means for its items."""
    if isinstance(result, Failed):
        return result
    if len(lost) == items:
        reason = lost[0][1]
        return Failed(f"no item could be read; the first, {lost[0][0]}, {reason}", reason)
    expected = items - len(lost)
    return Succeeded(result.rows, len(lost) + max(0, expected - result.rows), expected)
