"""One queue for all replicas: each request to one that has room, once more if that one dies, and no longer than is allowed.

Whoever was being answered when a replica died is a suspect: its second try has a replica to itself, so that one request which ends
replicas fails alone, however many were in its batch. Suspects come before all that waits.

Knows nothing of processes but `Replica.give` and `Replica.kill`, and nothing of HTTP. Invariant: every request that was let in
gets exactly one outcome.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import islice

from airflow_batchinfer.service.admission import Admission
from airflow_batchinfer.service.protocol import Question, Told
from airflow_batchinfer.service.replica import Replica
from airflow_batchinfer.service.wire import Answered, Failed, Failure, Outcome

TRIES = 2
# What a task that asks is cancelled with when its caller is gone.
CALLER_LEFT = "the caller has left"
# With less of its time left a request whose replica died is not tried again: it would only cost another replica.
LEAST_LEFT = 0.05


@dataclass(frozen=True)
class Limits:
    """How long and how much."""

    scoring_seconds: float
    most_wait_seconds: float
    at_once: int


class _Request:
    """One request that was let in; `number` while a replica has it."""

    __slots__ = ("future", "given_up", "has_begun", "number", "outcome", "overrun", "question", "replica", "tries", "withdrawn")

    def __init__(self, question: Question, future: asyncio.Future[Outcome]) -> None:
        self.question = question
        self.future = future
        self.number: int | None = None
        self.replica: Replica | None = None
        self.has_begun = False
        self.outcome: Outcome | None = None
        self.withdrawn = False
        self.tries = 0
        self.given_up: asyncio.TimerHandle | None = None
        self.overrun: asyncio.TimerHandle | None = None


class Dispatcher:
    """See above. `ready` are the replicas that may be given something."""

    def __init__(self, limits: Limits) -> None:
        self.ready: list[Replica] = []
        self.stopping = False
        self.retried = 0
        self._limits = limits
        self._admission = Admission(limits.most_wait_seconds)
        self._queue: deque[_Request] = deque()
        self._suspects: deque[_Request] = deque()
        self._with_suspect: set[Replica] = set()
        self._given: dict[int, _Request] = {}
        self._numbers = 0
        self._loop = asyncio.get_running_loop()

    @property
    def waiting(self) -> int:
        """Requests that no replica has."""
        return len(self._queue) + len(self._suspects)

    @property
    def running(self) -> int:
        """Requests that a replica has."""
        return len(self._given)

    async def ask(self, question: Question) -> Outcome:
        """What a replica says to it, or why none does."""
        if self.stopping:
            return Failed(Failure.STOPPING, 1)
        request = _Request(question, self._loop.create_future())
        replica = None if self._queue or self._suspects else self._with_room()
        if replica:
            self._give(request, replica)
        elif self._admission.may_wait(len(self._queue), self._most_at_once):
            self._queue.append(request)
            request.given_up = self._loop.call_later(self._limits.most_wait_seconds, self._give_up, request)
            if self._suspects:
                self._feed_all()
        else:
            return self._overloaded()
        try:
            return await request.future
        except asyncio.CancelledError as cancelled:
            if not self._goes_on(request, has_left=cancelled.args == (CALLER_LEFT,)):
                raise
        return request.outcome or await request.future

    def add(self, replica: Replica) -> None:
        """One more that may be asked."""
        self.ready.append(replica)
        self._feed_all()

    def remove(self, replica: Replica) -> None:
        """It is given nothing more; what it has, it may still answer."""
        if replica in self.ready:
            self.ready.remove(replica)

    def told(self, replica: Replica, told: Told) -> None:
        """One answer. What was not asked, or is late, is nothing."""
        replica.held.pop(told.number, None)
        request = self._given.get(told.number)
        if request is None or request.replica is not replica:
            return
        replica.answered += 1
        if isinstance(told.outcome, Answered):
            self._admission.note(told.outcome.seconds)
        self._settle(request, told.outcome)
        self._with_suspect.discard(replica)
        self._begin_next(replica)
        if self._suspects:
            self._feed_all()
        else:
            self._feed(replica)

    def lost(self, replica: Replica) -> None:
        """It is dead: what it had is tried once more, before all that waits."""
        self.remove(replica)
        self._with_suspect.discard(replica)
        had = [request for number in replica.held if (request := self._given.pop(number, None))]
        replica.held.clear()
        not_begun = []
        for request in had:
            request.number = request.replica = None
            if request.withdrawn:
                self._settle(request, Failed(Failure.DIED))
            elif not request.has_begun:
                request.given_up = self._loop.call_later(self._limits.scoring_seconds, self._give_up, request)
                not_begun.append(request)
            elif request.tries >= TRIES:
                self._settle(request, Failed(Failure.DIED))
            elif request.overrun and request.overrun.when() - self._loop.time() < LEAST_LEFT * self._limits.scoring_seconds:
                self._settle(request, Failed(Failure.TIMED_OUT))
            else:
                request.has_begun = False
                self._suspects.append(request)
                self.retried += 1
        self._queue.extendleft(reversed(not_begun))
        self.retried += len(not_begun)
        self._feed_all()

    def stop(self) -> None:
        """Nobody will answer any more."""
        self.stopping = True
        for replica in {request.replica for request in self._given.values() if request.replica}:
            replica.kill("the service was stopped")
        for request in [*self._suspects, *self._queue, *self._given.values()]:
            self._settle(request, Failed(Failure.STOPPING))
        self._suspects.clear()
        self._queue.clear()

    @property
    def _most_at_once(self) -> int:
        return len(self.ready) * self._limits.at_once

    def _with_room(self) -> Replica | None:
        """The one that has the least to do, if it may have more."""
        found = min((replica for replica in self.ready if replica not in self._with_suspect), key=_load, default=None)
        return found if found and len(found.held) < self._most_held else None

    @property
    def _most_held(self) -> int:
        return self._limits.at_once + self._admission.ahead

    def _give(self, request: _Request, replica: Replica) -> None:
        if request.given_up:
            request.given_up.cancel()
            request.given_up = None
        self._numbers += 1
        request.number, request.replica = self._numbers, replica
        self._given[self._numbers] = request
        if len(replica.held) < self._limits.at_once:
            self._begin(request)
        replica.give(self._numbers, request.question)

    def _begin(self, request: _Request) -> None:
        """Its turn at its replica has come: now its time runs, and if the replica dies, it may have been the cause."""
        request.has_begun = True
        request.tries += 1
        if request.overrun is None:
            request.overrun = self._loop.call_later(self._limits.scoring_seconds, self._overran, request)

    def _begin_next(self, replica: Replica) -> None:
        for number in islice(replica.held, self._limits.at_once):
            request = self._given.get(number)
            if request and not request.has_begun:
                self._begin(request)

    def _feed_all(self) -> None:
        for replica in list(self.ready):
            self._feed(replica)

    def _feed(self, replica: Replica) -> None:
        """Give it what it may have. While there are suspects, whoever has the least to do gets nothing else, and is soon free for one."""
        while replica in self.ready and replica not in self._with_suspect and len(replica.held) < self._most_held:
            if self._suspects and not replica.held:
                self._with_suspect.add(replica)
                self._give(self._suspects.popleft(), replica)
            elif self._queue and not (self._suspects and replica is min(self.ready, key=_load)):
                self._give(self._queue.popleft(), replica)
            else:
                return

    def _give_up(self, request: _Request) -> None:
        self._queue.remove(request)
        self._settle(request, self._overloaded())

    def _overran(self, request: _Request) -> None:
        """Its time is up, wherever it is: a replica that has it is killed, and what else that has is tried again."""
        replica = request.replica
        self._take_out(request)
        self._settle(request, Failed(Failure.TIMED_OUT))
        if replica:
            replica.kill(f"run() took longer than {self._limits.scoring_seconds:g} s")

    def _goes_on(self, request: _Request, *, has_left: bool) -> bool:
        """Whether what becomes of a request is still to be told, if only to the log, when who asked is cancelled: if a replica has it."""
        request.withdrawn = True
        if request.outcome is None and request.number is None:
            self._take_out(request)
            self._settle(request, Failed(Failure.STOPPING))
            return False
        request.future = self._loop.create_future()
        return has_left

    def _take_out(self, request: _Request) -> None:
        for waiting in (self._queue, self._suspects):
            if request in waiting:
                waiting.remove(request)

    def _settle(self, request: _Request, outcome: Outcome) -> None:
        for timer in (request.given_up, request.overrun):
            if timer:
                timer.cancel()
        if request.number is not None:
            self._given.pop(request.number, None)
            if request.replica:
                request.replica.held.pop(request.number, None)
        request.outcome = outcome
        if not request.future.done():
            request.future.set_result(outcome)

    def _overloaded(self) -> Failed:
        return Failed(Failure.OVERLOADED, self._admission.retry_after_seconds(len(self._queue), self._most_at_once))


def _load(replica: Replica) -> int:
    return len(replica.held)
