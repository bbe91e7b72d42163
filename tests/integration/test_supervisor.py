"""The supervisor with real workers: every call that was given comes back exactly once, as an attempt or handed back."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.engine.isolation import Part
from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.printing import Printing
from airflow_batchinfer.engine.protocol import Call, Done, Start
from airflow_batchinfer.engine.supervisor import Attempted, Event, HandedBack, Place, Supervisor
from airflow_batchinfer.planning.lines import line_of_files
from airflow_batchinfer.processes import Launch
from airflow_batchinfer.storage import LocalStore
from tests.integration.lab import SCRIPTS, Lab
from tests.integration.leftovers import wait_until

Found = TypeVar("Found")
RUN_SECONDS = 30.0
NOTHING: Mapping[str, Any] = {}
ASKS = """
from azureml.core import Model
def run(mini_batch):
    return [Model.get_model_path("slow")] * len(mini_batch)
"""

ASKS_ASIDE = """
import threading
from azureml.core import Model
def run(mini_batch):
    if threading.active_count() > 1:
        threading.Event().wait()
    threading.Thread(target=Model.get_model_path, args=["slow"], daemon=True).start()
    return mini_batch
"""
KNOWS = {"job": "j", "agent": "a", "files": "f", "logs": "l", "workspace": "w", "models": []}


class Watched:
    """A supervisor with one worker, and all that it told."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.told: list[Event] = []

    def give(self, line: bytes, *calls: Call) -> None:
        """Give them all at once, so that they wait behind each other."""
        worker = self.until(lambda: self.supervisor.least_busy(1), "the worker is ready")
        for call in calls:
            self.supervisor.give(worker, call, line)

    def until(self, found: Callable[[], Found], what: str) -> Found:
        def look() -> Found:
            self.told += self.supervisor.poll(0.05)
            return found()

        return wait_until(look, what)

    @property
    def attempts(self) -> list[Attempted]:
        return [event for event in self.told if isinstance(event, Attempted)]


@contextmanager
def one_worker(lab: Lab, script: Path, *, knows: Mapping[str, Any] = NOTHING, **how: Any) -> Iterator[Watched]:  # noqa: ANN401 - the supervisor's own
    start = Start(str(script), str(script.parent), (), appends_rows=True, to_csv={}, logging_level="INFO", surroundings=knows)
    store = LocalStore(lab.root / "store")
    with Printing(lab.root / "printed", store, "logs", None) as printing:
        supervisor = Supervisor(Launch(sys.executable, str(lab.root), dict(os.environ)), lambda _: start, printing, RUN_SECONDS, **how)
        with closing(supervisor):
            supervisor.staff([Place(0, {}, ())])
            try:
                yield Watched(supervisor)
            finally:
                supervisor.end(gracefully=False)


def line_of(lab: Lab) -> bytes:
    found = [(str(path), path.stat()) for path in sorted(lab.inputs.iterdir())]
    return line_of_files([Item(path, status.st_size, status.st_mtime_ns) for path, status in found])


def test_parts_that_wait_behind_a_call_that_kills_the_worker_are_handed_back_as_they_were_given(lab: Lab):
    rows = lab.many(8, poison=(1,))
    killing, first, second = Call(7, Part(0, 2, 8)), Call(7, Part(4, 6, 8)), Call(8)
    with one_worker(lab, SCRIPTS / "killed.py") as watched:
        watched.give(line_of(lab), killing, first, second)
        watched.until(lambda: len(watched.attempts) == 1, "the first call has ended")
        (attempted,) = watched.attempts
        assert attempted.call is killing
        assert isinstance(attempted.result, Failed)
        assert [event.call for event in watched.told if isinstance(event, HandedBack)] == [first, second]
        # The replacement runs what is given again, and of a part only its items.
        watched.give(line_of(lab), first)
        watched.until(lambda: len(watched.attempts) == 2, "the part has ended")
    attempted = watched.attempts[-1]
    assert attempted.call == first
    assert isinstance(attempted.result, Done)
    assert (attempted.result.items, attempted.result.of, attempted.result.text.decode().splitlines()) == (2, 8, rows[4:6])


def test_two_parts_of_one_mini_batch_at_one_worker_are_told_apart(lab: Lab):
    rows = lab.many(4)
    calls = [Call(7, Part(start, start + 1, 4)) for start in (2, 0, 3)]
    with one_worker(lab, SCRIPTS / "names.py") as watched:
        watched.give(line_of(lab), *calls)
        watched.until(lambda: len(watched.attempts) == 3, "all have ended")
    assert [event.call for event in watched.attempts] == calls
    assert [event.result.text.decode() for event in watched.attempts if isinstance(event.result, Done)] == [
        f"{rows[number]}\n" for number in (2, 0, 3)
    ]


def test_what_the_script_asks_for_may_take_longer_than_a_call(lab: Lab):
    lab.many(1)
    late = 0.0
    answer = Future[Mapping[str, Any]]()
    script = lab.script(ASKS)
    with one_worker(lab, script, knows=KNOWS, answer=lambda _: answer, clock=lambda: time.monotonic() + late) as watched:
        watched.give(line_of(lab), Call(7))
        watched.until(lambda: watched.supervisor.is_asked, "the script asks")
        while late < 2 * RUN_SECONDS:
            late += 0.9  # a leap of more than a second is taken for a machine that slept, and forgiven anyway
            watched.told += watched.supervisor.poll(0)
        assert not watched.attempts
        answer.set_result({"models": [{"name": "slow", "version": 1, "path": str(lab.inputs)}]})
        watched.until(lambda: len(watched.attempts) == 1, "the call has ended")
    assert isinstance(watched.attempts[0].result, Done)
    assert watched.attempts[0].result.text.decode() == f"{lab.inputs / '00000'}\n"


def test_what_was_asked_before_a_call_began_gives_that_call_no_more_time(lab: Lab):
    lab.many(1)
    late = 0.0
    answer = Future[Mapping[str, Any]]()

    def leap(seconds: float) -> None:
        nonlocal late
        end = late + seconds
        while late < end:
            late += 0.9
            watched.told += watched.supervisor.poll(0)

    with one_worker(lab, lab.script(ASKS_ASIDE), knows=KNOWS, answer=lambda _: answer, clock=lambda: time.monotonic() + late) as watched:
        watched.give(line_of(lab), Call(7))
        watched.until(lambda: len(watched.attempts) == 1 and watched.supervisor.is_asked, "a thread of the script asks")
        leap(3 * RUN_SECONDS)
        watched.give(line_of(lab), Call(8))
        answer.set_result({"models": [{"name": "slow", "version": 1, "path": str(lab.inputs)}]})
        watched.until(lambda: not watched.supervisor.is_asked, "it is answered")
        leap(RUN_SECONDS)
        watched.until(lambda: len(watched.attempts) == 2, "the call has ended")
    assert isinstance(watched.attempts[1].result, Failed)
    assert "timed out" in watched.attempts[1].result.reason
