"""A mini-batch of a block that we hold, until it is settled: what its attempts gave, and what is committed of that.

Judges nothing: whether a failure is final is the ledger's affair, which part is called next the isolation's. Invariant: every
item that is counted as failed stands in exactly one error line.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from airflow_batchinfer.engine.fetching import Fetched
from airflow_batchinfer.engine.isolation import Blamed, Isolation, Part
from airflow_batchinfer.engine.joining import Basis
from airflow_batchinfer.engine.ledger import Failed, Succeeded
from airflow_batchinfer.engine.outputs import TOO_FEW_ROWS, Settled, error_line
from airflow_batchinfer.engine.protocol import Call, Done
from airflow_batchinfer.engine.schema import Fit
from airflow_batchinfer.engine.tallies import as_stored
from airflow_batchinfer.planning.lines import Planned, read_line
from airflow_batchinfer.planning.thresholds import Counts, counted

MOST_TOLD = 3


@dataclass(slots=True, eq=False)
class Pending:
    """See above. `line` is the plan's; `fetched` what a worker gets of it, once that is here."""

    mini_batch: int
    line: bytes
    fetched: Fetched | None = None
    given_at: float = 0.0
    _tries: int = 0
    _rows_read: int | None = None
    _failure: Failed | None = None
    _isolation: Isolation[Failed] | None = None
    _done: list[tuple[Part | None, Done]] = field(default_factory=list)
    _calls: dict[Part, int] = field(default_factory=dict)
    _basis: Basis | None = None
    _fit: Fit | None = None

    @property
    def call(self) -> Call:
        """What a worker is given next: all of it, or while it is isolated a part."""
        return Call(self.mini_batch, self._isolation.part if self._isolation else None)

    @property
    def is_isolating(self) -> bool:
        """Whether a part is to be called next."""
        return self._isolation is not None and self._isolation.part is not None

    @property
    def is_isolated(self) -> bool:
        """Whether it was called in parts, or is to be."""
        return self._isolation is not None

    @property
    def parts(self) -> tuple[Done, ...]:
        """What its calls gave, in the order of the items."""
        return tuple(done for _, done in self._done)

    @property
    def basis(self) -> Basis | None:
        """What its parts are judged by, once that is settled."""
        return self._basis

    def must_be_fitted(self, fits_at_once: Callable[[Done], bool]) -> bool:
        """Whether nobody has said yet that its columns fit; parts must also fit one another."""
        if self._fit or self.is_isolating:
            return False
        if self._isolation is None:
            return any(not fits_at_once(done) for done in self.parts)
        return self._basis is not None or any(done.schema for done in self.parts)

    def take(self, fit: Fit) -> None:
        """What its columns came to. Parts that are refused have failed, and are halved."""
        self._basis = fit.basis
        if fit.comes_too_late and self._failure:
            self.isolate(self._failure, self._tries + (self._isolation.calls if self._isolation else 0))
            return
        if self._isolation is None and fit.failure:
            self.enter(fit.failure)
            return
        if not fit.refused:
            self._fit = fit
        refused = dict.fromkeys(range(len(self._done)), fit.failure) if fit.failure else fit.refused
        for number, failure in refused.items():
            part = self._done[number][0]
            if self._isolation and part:
                blamed = Blamed(part, failure, self._calls[part])
                # What no part of it could help against has been halved enough.
                self._isolation.failed.append(blamed) if fit.failure else self._isolation.refuse(blamed)
        self._done = [done for number, done in enumerate(self._done) if number not in refused]

    def enter(self, result: Done | Failed) -> None:
        """What the attempt of `call` gave."""
        failure = result if isinstance(result, Failed) else None
        self._rows_read = self._rows_read if result.of is None else result.of
        if self._isolation is None:
            self._done.clear()  # of all its tries only the last one counts
            self._failure, self._fit = failure, None
        if isinstance(result, Done):
            self._done.append((self.call.part, result))
            self._done.sort(key=lambda each: each[0] or ())
        if self._isolation and self.call.part:
            self._calls[self.call.part] = self._isolation.calls_of_part
            self._isolation.enter(failure)

    def isolate(self, failure: Failed, tries: int) -> None:
        """As a whole it failed for good: halve it."""
        self._tries = tries
        self._done.clear()
        self._isolation = Isolation(self._callable().count, failure)

    @property
    def items(self) -> int:
        """How many items it has. Of a table that was cut without being read, nobody knows before a worker has read it."""
        if not self._done and not self._isolation:
            return len(self._lost) + self._callable().count
        return len(self._lost) + sum(done.items for _, done in self._done) + sum(blamed.part.items for blamed in self._blamed)

    @property
    def items_failed(self) -> int:
        """How many are known to have failed by now."""
        of_done = sum(len(done.lost) + _missing(done) for _, done in self._done)
        return len(self._lost) + of_done + sum(blamed.part.items for blamed in self._blamed)

    @property
    def outcome(self) -> Succeeded | Failed:
        """What its attempts mean; it succeeded if `run()` returned for any of its items."""
        if ran := [done for _, done in self._done if len(done.lost) < done.items]:
            expected = sum(done.items - len(done.lost) for done in ran)
            return Succeeded(sum(done.rows for done in ran), self.items_failed, expected)
        if self._failure:  # an item that is the only one has been called alone
            return replace(self._failure, indivisible=self._failure.indivisible or self._callable().count <= 1)
        lost = (*self._lost, *(each for _, done in self._done for each in done.lost))
        if not lost:  # where the bytes of a table were thought to hold rows, there were none
            return Succeeded(0, 0, 0)
        path, reason = lost[0]
        return Failed(f"no item could be read; the first, {path}, {reason}", reason, indivisible=True)

    def settled(self, counts: Counts) -> Settled:
        """What is committed of it."""
        succeeded = not counts.mini_batches_failed
        rows, header_bytes = self._rows() if succeeded else (b"", 0)
        errors = self.errors(counts.attempts) if counts.items_failed else b""
        metrics = as_stored(done.metrics for _, done in self._done) if succeeded else b""
        return Settled(self.mini_batch, succeeded, counts, rows, header_bytes, errors, metrics)

    def errors(self, attempts: int = 0) -> bytes:
        """The error lines, in the order of the items."""
        outcome = self.outcome
        if isinstance(outcome, Failed) and not self._isolation:
            return error_line(self.mini_batch, read_line(self.line).names(), attempts, outcome, self.items)
        lines = [(0, self._line_of_lost(*lost)) for lost in self._lost]
        for part, done in self._done:
            start = part.start if part else 0
            lines += [(start, self._line_of_lost(*lost)) for lost in done.lost]
            if _missing(done):
                lines.append((start, self._line_of_missing(part, done)))
        if blamed := self._blamed:
            planned = self._callable()
            lines += [(each.part.start, self._line_of_blamed(planned, each)) for each in blamed]
        return b"".join(line for _, line in sorted(lines, key=lambda line: line[0]))

    def told(self) -> str:
        """What isolating it found, for people."""
        blamed, planned, calls = self._blamed, self._callable(), self._isolation.calls if self._isolation else 0
        first = [f"{planned.names(*each.part[:2])[0]} ({each.failure.reason})" for each in blamed[:MOST_TOLD]]
        more = [f"and {len(blamed) - MOST_TOLD} more"] if len(blamed) > MOST_TOLD else []
        found = ": " + "; ".join(first + more) if blamed else ""
        return f"{self.items_failed:,} of {counted(self.items, 'item')} failed, found in {counted(calls, 'call')}{found}"

    @property
    def _lost(self) -> tuple[tuple[str, str], ...]:
        """The items that never reached a worker."""
        return self.fetched.lost if self.fetched else ()

    @property
    def _blamed(self) -> list[Blamed[Failed]]:
        """The items that failed alone, and when nothing is to be called any more, those of which nobody can say."""
        if self._isolation is None:
            return []
        undecided = [] if self.is_isolating else self._isolation.undecided
        found = self._isolation.failed + [replace(each, failure=_undecided(each.failure)) for each in undecided]
        return [replace(each, part=self._as_read(each.part)) for each in found]

    def _as_read(self, part: Part) -> Part:
        """A part as the worker took it, which may have found more or fewer rows than were planned."""
        of = part.of if self._rows_read is None else self._rows_read
        return Part(part.start * of // part.of, part.stop * of // part.of, of)

    def _callable(self) -> Planned:
        """What the plan says of the items that a worker can be given."""
        planned, lost = read_line(self.line), [path for path, _ in self._lost]
        if len(planned.slices) == 1 and self._rows_read is not None:
            return replace(planned, slices=(planned.slices[0]._replace(rows=self._rows_read),))
        if not lost:
            return planned
        here = [item for item in planned.items if not (lost and item.path == lost[0] and lost.pop(0))]
        return replace(planned, items=tuple(here))

    def _rows(self) -> tuple[bytes, int]:
        """The rows of its parts in the order of the items, under one header, and how many bytes that is."""
        if self._fit:
            return self._fit.rows, self._fit.header_bytes
        texts = [done for done in self.parts if done.text]
        if len(texts) <= 1:
            return (texts[0].text, texts[0].header_bytes) if texts else (b"", 0)
        return texts[0].text + b"".join(done.text[done.header_bytes :] for done in texts[1:]), texts[0].header_bytes

    def _line_of_lost(self, path: str, reason: str) -> bytes:
        return error_line(self.mini_batch, [path], 0, Failed(reason, reason))

    def _line_of_missing(self, part: Part | None, done: Done) -> bytes:
        names = self._callable().names(*self._as_read(part)[:2]) if part else read_line(self.line).names()
        items, missing = counted(done.items - len(done.lost), "item"), _missing(done)
        reason = f"run() returned {counted(done.rows, 'row')} for {items}, so {missing} failed"
        return error_line(self.mini_batch, names, 1, Failed(reason, TOO_FEW_ROWS), missing)

    def _line_of_blamed(self, planned: Planned, blamed: Blamed[Failed]) -> bytes:
        names = planned.names(blamed.part.start, blamed.part.stop)
        return error_line(self.mini_batch, names, self._tries + blamed.calls, blamed.failure, blamed.part.items)


def _missing(done: Done) -> int:
    return max(0, done.items - len(done.lost) - done.rows)


def _undecided(failure: Failed) -> Failed:
    told = "not decided which of these items fail, since no call was left; the last that held them failed"
    return replace(failure, reason=f"{told}: {failure.reason}")
