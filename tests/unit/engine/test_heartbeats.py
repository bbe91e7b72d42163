import os
from dataclasses import replace
from uuid import uuid4

import fsspec
import pytest

from airflow_batchinfer.engine.heartbeats import (
    STALE_SECONDS,
    Heartbeat,
    Pulse,
    Witness,
    own_heartbeat,
    process_is_gone,
    process_started,
    read_heartbeat,
    this_host,
    why_nodes_failed,
)
from airflow_batchinfer.errors import ErrorBudgetSpent, UserError
from airflow_batchinfer.planning.config import Rules
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.thresholds import Thresholds
from airflow_batchinfer.storage import RemoteStore
from airflow_batchinfer.workspace import JobFolder

FOLDER = JobFolder("job-1")
PIN = Pin("pins/ours.json", "job-1", 0, "/out", Rules(Thresholds(), 3, 60.0, 2, None, "INFO"), reused=False, resumed=0, pinned_at=100.0)
OWN = own_heartbeat("own", PIN, 1, 2)
# Of another host, so that only its counter tells anything.
OTHER = Heartbeat("other", "pins/theirs.json", 0, 1, "another host", 1, "1", counter=1)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Sighted:
    """A witness with a clock and a store in which nodes beat as they are told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")
        self.witness = Witness(self.store, FOLDER, OWN, self.clock)

    def beat(self, heartbeat: Heartbeat) -> None:
        with self.store.writer(FOLDER.heartbeat(heartbeat.node)) as stream:
            stream.write(heartbeat.to_json())

    def later(self, seconds: float, node: str = "other") -> bool:
        self.clock.now += seconds
        self.witness.observe([node])
        return self.witness.is_dead(node)


@pytest.fixture
def sighted() -> Sighted:
    return Sighted()


def test_a_heartbeat_comes_back_from_its_stored_form():
    assert Heartbeat.from_json(OTHER.to_json()) == OTHER
    assert Heartbeat.from_json(OWN.to_json()) == OWN


def test_a_counter_that_stands_still_for_thirty_seconds_of_the_observer_s_clock_is_a_dead_node(sighted: Sighted):
    sighted.beat(OTHER)
    assert not sighted.later(0)
    assert not sighted.later(STALE_SECONDS - 0.1)
    assert sighted.later(0.1)


def test_a_counter_that_moves_is_a_living_node(sighted: Sighted):
    for counter in range(10):
        sighted.beat(replace(OTHER, counter=counter))
        assert not sighted.later(STALE_SECONDS - 1)


def test_a_node_that_was_dead_and_moves_again_lives(sighted: Sighted):
    sighted.beat(OTHER)
    sighted.later(0)
    assert sighted.later(STALE_SECONDS)
    sighted.beat(replace(OTHER, counter=2))
    assert not sighted.later(0)


def test_the_clocks_of_other_machines_are_never_looked_at(sighted: Sighted):
    for counter, at in enumerate([0.0, 1e12, -1e12]):
        sighted.beat(replace(OTHER, counter=counter, at=at))
        assert not sighted.later(STALE_SECONDS - 1)


def test_not_looking_makes_nobody_seem_dead(sighted: Sighted):
    sighted.beat(OTHER)
    assert not sighted.later(0)
    sighted.clock.now += 10 * STALE_SECONDS
    assert not sighted.witness.is_dead("other")
    sighted.beat(replace(OTHER, counter=2))
    assert not sighted.later(0)


def test_a_node_never_looked_at_is_not_dead(sighted: Sighted):
    assert not sighted.witness.is_dead("other")


def test_a_node_that_has_never_beaten_is_dead_after_as_long(sighted: Sighted):
    assert not sighted.later(0)
    assert not sighted.later(STALE_SECONDS - 1)
    assert sighted.later(1)


def test_a_node_that_ended_is_dead_at_once(sighted: Sighted):
    sighted.beat(replace(OTHER, ended=True))
    assert sighted.later(0)


def test_a_process_of_this_host_that_is_gone_is_dead_at_once(sighted: Sighted):
    ours = process_started(os.getpid())
    sighted.beat(replace(OTHER, host=this_host(), process=os.getpid(), process_started=str(ours)))
    assert not sighted.later(0)
    sighted.beat(replace(OTHER, host=this_host(), process=os.getpid(), process_started="another one of the same number"))
    assert sighted.later(0)
    sighted.beat(replace(OTHER, host=this_host(), process=2**22 + 1, process_started=str(ours)))
    assert sighted.later(0)


def test_a_process_of_another_host_is_not_looked_for_here():
    assert not process_is_gone(replace(OTHER, process=2**22 + 1))


def test_an_earlier_try_of_our_own_place_in_the_run_is_dead_at_once(sighted: Sighted):
    sighted.beat(replace(OTHER, run=PIN.path, map_index=1, try_number=1))
    assert sighted.later(0)


@pytest.mark.parametrize("change", [{"map_index": 2}, {"try_number": 2}, {"try_number": 3}, {"run": "pins/theirs.json"}], ids=str)
def test_another_place_or_a_later_try_or_another_run_is_not(sighted: Sighted, change: dict[str, object]):
    sighted.beat(replace(OTHER, **{"run": PIN.path, "map_index": 1, "try_number": 1, **change}))  # type: ignore[arg-type]
    assert not sighted.later(0)


def test_whoever_seemed_dead_is_looked_at_once_more_before_it_is_believed(sighted: Sighted):
    sighted.beat(OTHER)
    sighted.later(0)
    assert sighted.later(STALE_SECONDS)
    assert sighted.witness.is_dead_now("other")
    sighted.beat(replace(OTHER, counter=2))
    assert not sighted.witness.is_dead_now("other")


def test_init_failures_of_our_own_run_are_added_up(sighted: Sighted):
    for number in range(3):
        sighted.beat(replace(OTHER, node=f"mate-{number}", run=PIN.path, pinned_at=PIN.pinned_at, init_failures=2))
    sighted.beat(replace(OTHER, node="stranger", init_failures=50))
    sighted.beat(replace(OTHER, node="yesterday", run=PIN.path, pinned_at=1.0, init_failures=50))
    sighted.witness.observe(["mate-0", "mate-1", "mate-2", "stranger", "yesterday", "nobody"])
    assert sighted.witness.init_failures() == 6


def test_a_node_beats_from_its_beginning_to_its_end():
    store = RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")
    with Pulse(store, FOLDER, OWN) as pulse:
        first = read_heartbeat(store, FOLDER, "own")
        pulse.say_init_failures(3)
    last = read_heartbeat(store, FOLDER, "own")
    assert first
    assert last
    assert (first.counter, first.ended, last.ended, last.init_failures) == (1, False, True, 3)
    assert last.counter > first.counter


def test_a_node_says_with_its_last_beat_why_it_could_not_go_on(sighted: Sighted):
    with Pulse(sighted.store, FOLDER, OWN) as pulse:
        pulse.say_failure(UserError("it has no run()", "Traceback of the script"))
    last = read_heartbeat(sighted.store, FOLDER, "own")
    assert last
    assert (last.ended, last.failure) == (True, "it has no run()")
    assert str(why_nodes_failed(sighted.store, FOLDER, PIN)) == "Traceback of the script\n\nit has no run()"


def test_a_node_that_failed_and_one_that_counted_are_both_heard(sighted: Sighted):
    with Pulse(sighted.store, FOLDER, OWN) as pulse:
        pulse.say_init_failures(2)
        pulse.say_failure(UserError("it would not start"))
    last = read_heartbeat(sighted.store, FOLDER, "own")
    assert last
    assert (last.init_failures, last.failure) == (2, "it would not start")


def test_that_the_budget_is_spent_is_heard_by_the_nodes_of_our_own_run_and_by_no_others(sighted: Sighted):
    ours, theirs = (own_heartbeat(node, replace(PIN, pinned_at=at), 0, 1) for node, at in (("mate", PIN.pinned_at), ("stranger", 1.0)))
    for beat, failure in ((ours, UserError("init() failed")), (theirs, ErrorBudgetSpent("too much"))):
        with Pulse(sighted.store, FOLDER, beat) as pulse:
            pulse.say_failure(failure)
    sighted.witness.observe(["mate", "stranger"])
    assert sighted.witness.budget_spent() is None
    with Pulse(sighted.store, FOLDER, ours) as pulse:
        pulse.say_failure(ErrorBudgetSpent("too much", "Traceback of the script"))
    sighted.witness.observe(["mate"])
    assert str(sighted.witness.budget_spent()) == "Traceback of the script\n\ntoo much"


def test_of_several_that_failed_the_last_one_is_told(sighted: Sighted):
    ours = replace(OTHER, run=PIN.path, pinned_at=PIN.pinned_at)
    for name, at in (("a", 2.0), ("b", 3.0), ("c", 1.0)):
        sighted.beat(replace(ours, node=name, failure=f"of {name}", at=at))
    sighted.beat(replace(ours, node="d", at=9.0))
    assert str(why_nodes_failed(sighted.store, FOLDER, PIN)) == "of b"


@pytest.mark.parametrize(
    "other",
    [{"run": "pins/theirs.json"}, {"pinned_at": 1.0}, {"failure": ""}],
    ids=["another run", "before it was cleared", "no word"],
)
def test_what_befell_others_is_no_reason_of_ours(sighted: Sighted, other: dict[str, object]):
    ours = replace(OTHER, run=PIN.path, pinned_at=PIN.pinned_at, failure="of ours")
    sighted.beat(replace(ours, **other))  # type: ignore[arg-type]
    assert why_nodes_failed(sighted.store, FOLDER, PIN) is None


def test_a_job_that_nobody_worked_on_failed_for_no_reason_that_is_known(sighted: Sighted):
    assert why_nodes_failed(sighted.store, FOLDER, PIN) is None


def test_a_node_s_folder_without_a_heartbeat_is_passed_over(sighted: Sighted):
    sighted.store.create(f"{FOLDER.logs('early')}/0.txt", b"it printed before it beat")
    assert why_nodes_failed(sighted.store, FOLDER, PIN) is None
