"""Storage's slow side of a node, in a thread of its own: claims, commits, and looking at what the others do.

The coordinator asks and goes on; the answers come back as values, in order. One thread, so that the block log has one
reader and one writer in this process.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from airflow_batchinfer.engine.blocks import Blocks, Claim
from airflow_batchinfer.engine.heartbeats import Witness
from airflow_batchinfer.engine.joining import Basis
from airflow_batchinfer.engine.outputs import Settled, write_segment
from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.engine.schema import Fit, Schema
from airflow_batchinfer.planning.plan import read_lines
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import JobFolder

# A refresh must not hold up the commits that wait behind it.
MOST_RECORDS = 256


@dataclass(frozen=True)
class Claimed:
    """A block to work on, with the plan's lines; None where there is none to be had now."""

    counts: Counts
    claim: Claim | None
    lines: dict[int, bytes]


@dataclass(frozen=True)
class Committed:
    """A commit was made, or (`lost`) the block was taken over and the rows are dropped."""

    counts: Counts
    block: int
    claim_id: str
    settled: tuple[Settled, ...]
    lost: bool


@dataclass(frozen=True)
class Refreshed:
    """The logs were read again, which took this long."""

    counts: Counts
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """What the columns of a mini-batch came to; `of` is what the question was asked for."""

    counts: Counts
    of: object
    fit: Fit
    size_bytes: int


# Each says what all nodes had committed at that moment, so that whoever takes the answers in order counts nothing twice.
Answer = Claimed | Committed | Refreshed | Fitted


class Recorder:
    """See above."""

    def __init__(self, store: Store, folder: JobFolder, plan: str, node: str, blocks: Blocks, witness: Witness, schema: Schema) -> None:
        self._store = store
        self._folder = folder
        self._plan = plan
        self._node = node
        self.blocks = blocks
        self.witness = witness
        self.schema = schema
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batchinfer-recorder")
        self._asked: list[Future[Answer]] = []
        self.wake: Callable[[], None] = lambda: None
        # What the outcomes stand for must be durable before they are: files that scripts wrote themselves.
        self.before_commit: Callable[[], None] = lambda: None

    def claim(self) -> None:
        """Ask for a block."""
        self._ask(self._claim)

    def commit(self, block: int, claim_id: str, settled: Sequence[Settled]) -> None:
        """Ask for outcomes to be committed under a claim."""
        self._ask(lambda: self._commit(block, claim_id, tuple(settled)))

    def fit(self, of: object, mini_batch: int, parts: tuple[Done, ...], basis: Basis | None, *, isolated: bool) -> int:
        """Ask whether columns fit those of the others: of what was called whole, or of all parts together; how many bytes wait for that."""
        size_bytes = sum(len(part.text) for part in parts)
        self._ask(lambda: self._fit(of, mini_batch, parts, basis, isolated, size_bytes))
        return size_bytes

    def refresh(self) -> None:
        """Ask for the logs and heartbeats to be read again."""
        self._ask(self._refresh)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._asked)

    def answers(self) -> list[Answer]:
        """The answers that have come, in the order of the questions; an error is raised here."""
        come: list[Answer] = []
        while self._asked and self._asked[0].done():
            come.append(self._asked.pop(0).result())
        return come

    def wait(self, timeout_seconds: float | None = None) -> list[Answer]:
        """Wait for everything that was asked, no longer than that in all."""
        asked, self._asked = self._asked, []
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        return [future.result(deadline and max(0.0, deadline - time.monotonic())) for future in asked]

    def close(self) -> None:
        """Stop; what was asked and not begun is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, question: Callable[[], Answer]) -> None:
        future = self._pool.submit(question)
        self._asked.append(future)
        future.add_done_callback(lambda _: self.wake())

    def _claim(self) -> Claimed:
        claim = self.blocks.claim(self.witness.is_dead_now)
        if claim is None or not claim.todo:
            return Claimed(self.blocks.counts, claim, {})
        numbers = range(claim.todo[0], claim.todo[-1] + 1)
        lines = dict(zip(numbers, read_lines(self._store, self._plan, numbers), strict=True))
        return Claimed(self.blocks.counts, claim, {number: lines[number] for number in claim.todo})

    def _commit(self, block: int, claim_id: str, settled: tuple[Settled, ...]) -> Committed:
        self.before_commit()
        segment, pieces = write_segment(self._store, self._folder, self._node, settled)
        done = self.blocks.commit(block, claim_id, segment, pieces)
        return Committed(self.blocks.counts, block, claim_id, settled, lost=not done)

    def _fit(self, of: object, mini_batch: int, parts: tuple[Done, ...], basis: Basis | None, isolated: bool, size_bytes: int) -> Fitted:  # noqa: FBT001
        fit = self.schema.fit_parts(mini_batch, parts, basis) if isolated else self.schema.fit(mini_batch, parts[0])
        return Fitted(self.blocks.counts, of, fit, size_bytes)

    def _refresh(self) -> Refreshed:
        began = time.monotonic()
        self.blocks.refresh(MOST_RECORDS)
        self.witness.observe(self.blocks.owners())
        return Refreshed(self.blocks.counts, time.monotonic() - began)
