"""All workers of a node: one at each place, replaced when it dies, its answers, deaths and delays told as events.

Decides nothing about mini-batches: whether one is tried again is the ledger's affair, how often `init()` may fail the
coordinator's. Invariant: every call that was given comes back exactly once, as `Attempted` or as `HandedBack`.
"""

import contextlib
import os
import selectors
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.printing import Printing
from airflow_batchinfer.engine.protocol import (
    Answer,
    Asked,
    AttemptFailed,
    Call,
    Done,
    Garbled,
    InitFailed,
    Ready,
    Start,
    Unusable,
    answer_frame,
    start_frame,
)
from airflow_batchinfer.engine.worker_process import Worker
from airflow_batchinfer.errors import WorkersUnavailable
from airflow_batchinfer.processes import Launch

INIT_SECONDS = 600.0
END_SECONDS = 10.0
KEEPER_SECONDS = 1.7
SILENT_SECONDS = 0.5
SUSPENDED_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """Where a worker works, and what its replacement inherits: its number, its GPU, its folders."""

    number: int
    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    surroundings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerReady:
    """A worker's `init()` returned."""


@dataclass(frozen=True)
class InitEnded:
    """A worker's `init()` failed, died or hung; a replacement is on its way."""

    failure: Failed


@dataclass(frozen=True)
class Attempted:
    """An attempt ended."""

    call: Call
    result: Done | Failed


@dataclass(frozen=True)
class HandedBack:
    """What was waiting at a worker that is gone; it was never attempted."""

    call: Call


@dataclass(frozen=True)
class ScriptUnusable:
    """The script can never work."""

    reason: str


Event = WorkerReady | InitEnded | Attempted | HandedBack | ScriptUnusable


@dataclass(frozen=True, eq=False)
class Question:
    """What a script asked for, and waits for."""

    worker: Worker
    number: int
    answer: Future[Mapping[str, Any]]


def _nobody(question: Mapping[str, Any]) -> Future[Mapping[str, Any]]:
    answer = Future[Mapping[str, Any]]()
    answer.set_result({"refused": f"{question}: nobody here can answer that"})
    return answer


class Supervisor:
    """See above. Not thread-safe, but for `wake`."""

    def __init__(
        self,
        launch: Launch,
        start: Callable[[Place], Start],
        printing: Printing,
        run_timeout_seconds: float,
        *,
        answer: Callable[[Mapping[str, Any]], Future[Mapping[str, Any]]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._launch = launch
        self._start = start
        self._printing = printing
        self._run_timeout_seconds = run_timeout_seconds
        self._answer = answer or _nobody
        self._questions: list[Question] = []
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._wake_lock = threading.Lock()
        self._closed = False
        self._wake_end, self._wake = os.pipe()
        os.set_blocking(self._wake_end, False)
        os.set_blocking(self._wake, False)
        self._selector.register(self._wake_end, selectors.EVENT_READ, None)
        self._places: dict[int, Place] = {}
        self._workers: dict[int, Worker] = {}
        self._events: list[Event] = []
        self._polled_at = clock()

    def wake(self) -> None:
        """Make a `poll` that waits return; any thread may call it."""
        with self._wake_lock:
            if not self._closed:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake, b"x")

    def staff(self, places: Sequence[Place]) -> None:
        """Put a worker at each of these places where there is none."""
        for place in places:
            self._places[place.number] = place
            if place.number not in self._workers:
                self._begin(place)

    @property
    def is_occupied(self) -> bool:
        """Whether any worker has something to do, `init()` included."""
        return any(worker.queue or not worker.ready for worker in self._workers.values())

    @property
    def is_asked(self) -> bool:
        """Whether a script waits for an answer of this node."""
        return bool(self._questions)

    def least_busy(self, most: int) -> Worker | None:
        """The ready worker with the shortest queue, if that holds fewer than `most`."""
        free = [worker for worker in self._workers.values() if worker.ready and worker.killed_at is None and len(worker.queue) < most]
        return min(free, key=lambda worker: len(worker.queue), default=None)

    def give(self, worker: Worker, call: Call, items: bytes) -> None:
        """Give a worker a mini-batch, or a part of one; it starts at once if nothing is before it."""
        if not worker.queue:
            worker.began = self._clock()
        worker.give(call, items)
        self._watch_for_sending(worker)

    def poll(self, timeout_seconds: float, rest_seconds: float = 0.0) -> list[Event]:
        """Wait for something to happen, no longer than that; tell what has. Before that, let answers gather for so long."""
        if rest_seconds:
            time.sleep(rest_seconds)
        before = self._clock()
        self._forgive(before - self._polled_at)
        for key, mask in self._selector.select(max(0.0, min(timeout_seconds, self._until_deadline(before)))):
            self._attend(key, mask)
        self._pass_answers_on()
        self._polled_at = self._clock()
        self._forgive(self._polled_at - before - timeout_seconds)
        self._stop_the_overdue(self._polled_at)
        events, self._events = self._events, []
        return events

    def end(self, *, gracefully: bool) -> None:
        """End all workers: after their `shutdown()`, or at once."""
        self._places.clear()
        if gracefully:
            for worker in self._workers.values():
                if worker.ready and not worker.queue:
                    worker.ask_to_end()
                else:
                    worker.kill(self._clock())
            self._wait_for_the_end(END_SECONDS)
        for worker in list(self._workers.values()):
            worker.kill(self._clock())
        self._wait_for_the_end(2 * KEEPER_SECONDS)
        for worker in list(self._workers.values()):
            worker.kill_keeper()
            self._bury(worker)
        self._events.clear()

    def close(self) -> None:
        """Let go of everything; all workers must have ended. Whoever wakes us after that writes into nobody's file."""
        self._selector.close()
        with self._wake_lock:
            self._closed = True
            os.close(self._wake_end)
            os.close(self._wake)

    def _begin(self, place: Place) -> None:
        output = self._printing.open_pipe(place.number)
        try:
            worker = Worker(place.number, self._launch, place.environment, output)
        except OSError as error:
            raise WorkersUnavailable(f"no worker could be started with {self._launch.executable}: {error}") from error
        finally:
            os.close(output)
        worker.began = self._clock()
        self._workers[place.number] = worker
        self._selector.register(worker.replies, selectors.EVENT_READ, (worker, self._listen))
        self._selector.register(worker.alive, selectors.EVENT_READ, (worker, self._bury))
        worker.send(start_frame(self._start(place)))
        self._watch_for_sending(worker)

    def _attend(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.data is None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_end, 4096)
            return
        worker, do = key.data
        if worker not in self._workers.values():
            return  # buried by an event just before this one
        if mask & selectors.EVENT_WRITE:
            worker.flush()
            if not worker.has_unsent:
                self._selector.unregister(worker.requests)
        else:
            do(worker)

    def _watch_for_sending(self, worker: Worker) -> None:
        if worker.has_unsent and worker.requests not in self._selector.get_map():
            self._selector.register(worker.requests, selectors.EVENT_WRITE, (worker, None))

    def _listen(self, worker: Worker) -> None:
        try:
            for answer in worker.read_answers():
                self._take(worker, answer)
        except EOFError:
            self._selector.unregister(worker.replies)
            worker.silent_since = self._clock()  # mostly it has ended, and `alive` closes in a moment
        except Garbled as nonsense:
            self._selector.unregister(worker.replies)
            worker.kill(self._clock(), f"the worker wrote nonsense to the engine's own pipe: {nonsense}")

    def _take(self, worker: Worker, answer: Answer) -> None:
        match answer:
            case Ready():
                worker.ready = True
                worker.began = self._clock() if worker.queue else None
                self._events.append(WorkerReady())
            case InitFailed(failure):
                self._events.append(InitEnded(failure))
                worker.ready = True  # what comes is its end, not a second failure
                worker.kill(self._clock())
            case Asked(number, question):
                self._ask(worker, number, question)
            case Unusable(reason):
                self._events.append(ScriptUnusable(reason))
            case Done() | AttemptFailed():
                if not worker.queue or worker.queue[0].mini_batch != answer.mini_batch:
                    raise Garbled(f"an answer for mini-batch {answer.mini_batch}, which it was not given")
                call = worker.queue.popleft()
                worker.began = self._clock() if worker.queue else None
                self._events.append(Attempted(call, answer if isinstance(answer, Done) else answer.failure))

    def _ask(self, worker: Worker, number: int, question: Mapping[str, Any]) -> None:
        """Let it be answered elsewhere; until it is, nothing that the worker does takes too long."""
        worker.asked_at = worker.asked_at if worker.questions else self._clock()
        worker.questions += 1
        answer = self._answer(question)
        self._questions.append(Question(worker, number, answer))
        answer.add_done_callback(lambda _: self.wake())

    def _pass_answers_on(self) -> None:
        for question in [each for each in self._questions if each.answer.done()]:
            self._questions.remove(question)
            worker = question.worker
            if worker not in self._workers.values():
                continue
            worker.questions -= 1
            if worker.began is not None and not worker.questions:
                worker.began += self._clock() - max(worker.asked_at, worker.began)
            worker.send(answer_frame(question.number, question.answer.result()))
            self._watch_for_sending(worker)

    def _bury(self, worker: Worker) -> None:
        """A worker and all below it are gone: hear its last words, say what became of its mini-batches, replace it."""
        with contextlib.suppress(EOFError, Garbled):
            for answer in worker.read_answers():
                self._take(worker, answer)
        for descriptor in (worker.replies, worker.alive, worker.requests):
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
        del self._workers[worker.number]
        self._questions = [each for each in self._questions if each.worker is not worker]
        how = worker.collect(KEEPER_SECONDS)
        if not worker.ready:
            self._events.append(InitEnded(self._failure(worker, f"init() did not return: {how}", "init() did not return")))
        victim = worker.victim if worker.killed_at is not None else next(iter(worker.queue), None)
        for call in worker.queue:
            if call is victim:
                self._events.append(Attempted(call, self._failure(worker, how, how)))
            else:
                self._events.append(HandedBack(call))
        if place := self._places.get(worker.number):
            self._begin(place)

    def _failure(self, worker: Worker, reason: str, key: str) -> Failed:
        printed = self._printing.tail(worker.number)
        return Failed(reason, key, f"the last that worker {worker.number} printed:\n{printed}\n" if printed else "")

    def _forgive(self, excess_seconds: float) -> None:
        """We were suspended, or starved: that time is not the scripts' fault."""
        if excess_seconds > SUSPENDED_SECONDS:
            for worker in self._workers.values():
                if worker.began is not None and not worker.questions:
                    worker.began += excess_seconds

    def _limit(self, worker: Worker) -> float:
        return self._run_timeout_seconds if worker.ready else INIT_SECONDS

    def _until_deadline(self, now: float) -> float:
        timed = [worker for worker in self._workers.values() if not worker.questions]
        times = [worker.began + self._limit(worker) - now for worker in timed if worker.began is not None]
        times += [worker.killed_at + KEEPER_SECONDS - now for worker in self._workers.values() if worker.killed_at is not None]
        times += [worker.silent_since + SILENT_SECONDS - now for worker in self._workers.values() if worker.silent_since is not None]
        return min(times, default=3600.0)

    def _stop_the_overdue(self, now: float) -> None:
        for worker in list(self._workers.values()):
            if worker.killed_at is not None:
                if now - worker.killed_at >= KEEPER_SECONDS:
                    worker.kill_keeper()
            elif worker.silent_since is not None:
                if now - worker.silent_since >= SILENT_SECONDS:
                    worker.kill(now, "the worker closed its pipes")
            elif worker.began is not None and not worker.questions and now - worker.began >= self._limit(worker):
                call = "run()" if worker.ready else "init()"
                worker.kill(now, f"timed out: {call} took longer than {self._limit(worker):g} s")

    def _wait_for_the_end(self, seconds: float) -> None:
        deadline = self._clock() + seconds
        while self._workers and (left := deadline - self._clock()) > 0:
            for key, mask in self._selector.select(left):
                self._attend(key, mask)
            self._pass_answers_on()
