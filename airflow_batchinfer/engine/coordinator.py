"""The one loop of a node: blocks in, mini-batches to workers, outcomes to the ledger, rows to the block log.

    Recorder --claim--> todo --> [Fetcher] --> stock --> Supervisor --attempt--> Ledger --verdict--> settled --> Recorder
       ^                 ^                       ^                                |  |                             |
       |                 +---------------------- | ------------ RETRY ------------+  |                             |
       |                                         +----------- ISOLATE: a part -------+                             |
       +------------------------------------------- commit --------------------------------------------------------+

Everything slow happens elsewhere: storage in the recorder's thread, and so the question whether columns fit, downloads in the
fetcher's, output in printing's, the script in its own process. Invariant: a mini-batch of a block that we hold is in exactly
one of todo, coming, stock, a worker's queue, the recorder's with its columns, or settled.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from airflow_batchinfer.engine.fetching import Fetched, Fetcher
from airflow_batchinfer.engine.heartbeats import Pulse
from airflow_batchinfer.engine.ledger import Failed, Ledger, Patience, Verdict
from airflow_batchinfer.engine.outputs import Settled
from airflow_batchinfer.engine.pending import Pending
from airflow_batchinfer.engine.progress import Progress
from airflow_batchinfer.engine.protocol import Call
from airflow_batchinfer.engine.recorder import Answer, Claimed, Committed, Fitted, Recorder, Refreshed
from airflow_batchinfer.engine.supervisor import Attempted, Event, HandedBack, InitEnded, Place, ScriptUnusable, Supervisor, WorkerReady
from airflow_batchinfer.errors import ScriptError, WorkersUnavailable
from airflow_batchinfer.planning.cutting import block_of
from airflow_batchinfer.planning.spec import Job

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
FETCH_SECONDS = 2.0
MOST_FETCHED = 100
MOST_RESERVE = 2_000
MOST_AHEAD = 16
REST_SHARE = 0.2
MENTIONS = 2
MOST_KINDS = 100
Report = Callable[[Progress], None]
Clock = Callable[[], float]


class Spent(Exception):
    """More failed than the run allows; what was decided so far is committed. The text says which limit.

    `errors` are the error lines of what will not be committed: a mini-batch in the midst of being isolated has no outcome.
    """

    def __init__(self, why: str, errors: bytes = b"") -> None:
        super().__init__(why)
        self.errors = errors


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
        self._pending: dict[int, Pending] = {}
        self._todo: deque[int] = deque()
        self._stock: deque[Pending] = deque()
        self._run_seconds = 1.0
        self._fetches = False
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
            supervisor.staff(places[: len(self._pending)])
            self._ask_for_more(fetcher, len(places))
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
            raise Spent(reason, b"".join(each.errors() for each in self._pending.values() if each.is_isolated))

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
            self._pending |= {number: Pending(number, line) for number, line in claimed.lines.items()}
            self._todo.extend(claimed.claim.todo)

    def _at_hand(self, fetcher: Fetcher) -> int:
        """How many mini-batches of ours no worker has yet."""
        return len(self._todo) + len(self._stock) + fetcher.on_their_way

    def _ask_for_more(self, fetcher: Fetcher, processes: int) -> None:
        if not self._asked_for_claim and not self._dry and self._at_hand(fetcher) <= processes * self._reserve():
            self._asked_for_claim = True
            self._recorder.claim()
        now = self._clock()
        if now - self._refreshed_at >= self._refresh_seconds:
            self._refreshed_at = now
            self._recorder.refresh()

    def _hand_out(self, supervisor: Supervisor, fetcher: Fetcher, processes: int) -> None:
        for fetched in fetcher.ready():
            pending = self._pending.get(fetched.mini_batch)
            if pending and not pending.fetched:
                pending.fetched = fetched
                self._stock.append(pending)
            else:  # its block was lost, or that and claimed again, and it has come twice
                fetcher.discard(fetched)
        if self._unanswered_bytes > MOST_UNANSWERED_BYTES:
            return  # storage is slower than the scripts; what they make must not pile up here
        self._stock_up(fetcher, processes)
        while self._stock and (worker := supervisor.least_busy(self._depth())):
            pending = self._stock.popleft()
            if pending.fetched:
                pending.given_at = self._clock()
                supervisor.give(worker, pending.call, pending.fetched.line)

    def _stock_up(self, fetcher: Fetcher, processes: int) -> None:
        """Let mini-batches come to this machine before they are wanted, as far as there is room for them."""
        while self._todo and len(self._stock) + fetcher.on_their_way < processes * self._ahead():
            pending = self._pending.get(self._todo[0])
            if pending and not pending.fetched and fetcher.is_needed(pending.line):
                self._fetches = True
                if not fetcher.fetch(pending.mini_batch, pending.line):
                    return
            elif pending and not pending.fetched:
                pending.fetched = Fetched(pending.mini_batch, pending.line)
                self._stock.append(pending)
            self._todo.popleft()  # else it came twice: an answer, or a fetch, of an earlier claim of its block was as good

    def _ahead(self) -> int:
        """How many mini-batches for each worker are on this machine before they are wanted: what is fetched takes its time."""
        return max(2 * self._depth(), min(MOST_FETCHED, int(FETCH_SECONDS / self._run_seconds)) if self._fetches else 0)

    def _depth(self) -> int:
        """How many mini-batches a worker is given at once: as many as hide the way to it and back, one if they are slow."""
        return 1 + min(MOST_AHEAD - 1, int(AHEAD_SECONDS / self._run_seconds))

    def _reserve(self) -> int:
        """How many mini-batches for each worker must be at hand while the next block is claimed, which may wait behind a commit."""
        seconds = CLAIM_SECONDS + (FETCH_SECONDS if self._fetches else 0)
        return self._depth() + min(MOST_RESERVE, int(seconds / self._run_seconds))

    def _rest_seconds(self) -> float:
        """How long answers may gather before they are read: while every worker has much to do, each look costs more than it brings."""
        return REST_SHARE * self._depth() * self._run_seconds if self._depth() >= MOST_AHEAD // 2 else 0.0

    def _note(self, event: Event, fetcher: Fetcher) -> None:
        now = self._clock()
        match event:
            case WorkerReady():
                self._patience.progressed(now)
            case HandedBack(call):
                if pending := self._pending_of(call):
                    self._again(pending, fetcher)
            case Attempted(call, result):
                self._patience.progressed(now)
                if pending := self._pending_of(call):
                    self._learn_speed(pending)
                    pending.enter(result)
                    self._judge(pending, fetcher)
            case InitEnded(failure):
                self._patience.init_failed()
                self._pulse.say_init_failures(self._patience.init_failures)
                if why := self._patience.lost_with(self._recorder.witness.init_failures()):
                    raise ScriptError(f"{why}: {failure.reason}. Mend the script, or what it loads, and run it again", failure.traceback)
            case ScriptUnusable(reason):
                raise ScriptError(f"the entry script cannot be used: {reason}")

    def _pending_of(self, call: Call) -> Pending | None:
        """The mini-batch that a call is of; None if its block is lost, or was and is ours again, and the call is of an earlier claim."""
        pending = self._pending.get(call.mini_batch)
        return pending if pending and pending.call == call else None

    def _judge(self, pending: Pending, fetcher: Fetcher) -> None:
        if pending.must_be_fitted(self._recorder.schema.fits_at_once):
            asked = (pending, pending.mini_batch, pending.parts, pending.basis)
            self._unanswered_bytes += self._recorder.fit(*asked, isolated=pending.is_isolated)
            return
        if pending.is_isolating:
            verdict = self._ledger.judge_part(pending.mini_batch, pending.items_failed, self._committed)
        else:
            if pending.is_isolated:
                log.warning("mini-batch %d: %s", pending.mini_batch, pending.told())
            verdict = self._judge_all(pending, fetcher, mention=not pending.is_isolated)
        if verdict is Verdict.ABORT:
            self.check_thresholds()
        elif verdict in (Verdict.RETRY, Verdict.ISOLATE):
            self._again(pending, fetcher)

    def _judge_all(self, pending: Pending, fetcher: Fetcher, *, mention: bool) -> Verdict:
        """What follows when no part is left to be called: mostly since all of it was called at once."""
        outcome = pending.outcome
        verdict, counts = self._ledger.judge(pending.mini_batch, pending.items, outcome, self._committed)
        if isinstance(outcome, Failed):
            if mention:
                self._mention(pending.mini_batch, outcome, verdict)
            if verdict is Verdict.ISOLATE:
                pending.isolate(outcome, counts.attempts)
        if verdict not in (Verdict.RETRY, Verdict.ISOLATE):
            self._settle(pending.settled(counts), fetcher)
        return verdict

    def _mention(self, mini_batch: int, failure: Failed, verdict: Verdict) -> None:
        """Log a failure: the first ones of a kind with all that is known, the others in a line."""
        self._mentioned[failure.key] += 1
        told = f"\n{failure.traceback.rstrip()}" if self._mentioned[failure.key] <= MENTIONS and len(self._mentioned) < MOST_KINDS else ""
        what_follows = {Verdict.RETRY: "is tried again", Verdict.ISOLATE: "is halved until the items that fail are found"}
        log.warning("mini-batch %d %s: %s%s", mini_batch, what_follows.get(verdict, "failed"), failure.reason, told)

    def _again(self, pending: Pending, fetcher: Fetcher) -> None:
        """All of it from the beginning; of one that is isolated only the next part, of what was fetched."""
        if pending.is_isolating:
            self._stock.appendleft(pending)
        else:
            self._discard(pending, fetcher)
            self._todo.appendleft(pending.mini_batch)

    def _settle(self, settled: Settled, fetcher: Fetcher) -> None:
        holding = self._held[self._block_of(settled.mini_batch)]
        holding.left.discard(settled.mini_batch)
        holding.settled.append(settled)
        holding.settled_bytes += settled.size_bytes
        holding.oldest = holding.oldest or self._clock()
        holding.has_failures |= settled.counts.items_failed > 0
        self._forget(settled.mini_batch, fetcher)

    def _forget(self, mini_batch: int, fetcher: Fetcher) -> None:
        if pending := self._pending.pop(mini_batch, None):
            self._discard(pending, fetcher)

    def _discard(self, pending: Pending, fetcher: Fetcher) -> None:
        if pending.fetched:  # else it is still on its way
            fetcher.discard(pending.fetched)
            pending.fetched = None

    def _learn_speed(self, pending: Pending) -> None:
        """How long a mini-batch takes, about: from when it was given, which says too much while some wait at the worker."""
        if not pending.is_isolating:
            seconds = (self._clock() - pending.given_at) / self._depth()
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
                if spent := self._recorder.witness.budget_spent():
                    raise spent
            case Fitted(_, pending, fit, size_bytes):
                self._unanswered_bytes -= size_bytes
                if fetcher and isinstance(pending, Pending) and self._pending.get(pending.mini_batch) is pending:
                    pending.take(fit)
                    self._judge(pending, fetcher)
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
        self._stock = deque(pending for pending in self._stock if pending.mini_batch not in ours)
        self._ledger.settle([each.mini_batch for each in holding.settled])
        self._ledger.settle(list(ours))
        for number in ours:
            self._forget(number, fetcher)

    def _watch(self, supervisor: Supervisor, fetcher: Fetcher) -> None:
        # What is being fetched takes as long as it takes: the storage's own timeouts end what is stuck.
        if supervisor.is_asked:  # as long as that takes: the storage's own timeouts end what is stuck
            self._patience.resting()
        elif supervisor.is_occupied or self._stock or (self._todo and not fetcher.on_their_way):
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
