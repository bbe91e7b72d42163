"""A deployed service under load while it is killed, updated, scaled and attacked: the benchmark `faults`, once through."""

import pytest

from benchmarks.callers import CUT, OK, SELDOM
from benchmarks.faults import run
from benchmarks.garbage import garbage
from benchmarks.hostile import fault_of
from benchmarks.overload import RUN_SECONDS, WAIT_MS
from benchmarks.tally import Event, Noted, lost_of, rows_of, stale_of
from tests.integration.lab import Lab

SEED = "ci"
KILLED = Event("the router is killed", 10.0, 14.0, ends=(10.0, 11.0))
LEFT = Event("the router is told to leave", 20.0, 24.0, ends=(20.0, 21.0), of=SELDOM)
UPDATED = Event("updated", 30.0, 34.0, becomes="new")


@pytest.mark.services
def test_under_load_no_request_is_lost_whatever_befalls_the_service(lab: Lab):
    """The ten minutes of it, and the memory, are in docs/benchmarks.md."""
    seen = run(0, lab.root, SEED)
    assert seen.lost == []
    assert seen.stale == []
    assert seen.wrong == [], f"seed {SEED!r}"
    done = {row.what: row for row in rows_of(seen.notes, seen.events)}
    assert len(done) == 12
    assert all(row.answered for row in done.values())
    assert [row.what for row in done.values() if row.cut and not row.what.startswith("the router is ")] == []
    assert min(seen.hostile[what] for what in ("sends garbage", "vanishes with a reset", "too long", "wrong key")) > 5
    overload = seen.overload
    assert overload.wrong == []
    assert overload.count(200) > 0.5 * overload.count(503) > 0
    for status in (200, 503):
        assert overload.seconds(status, 99) < WAIT_MS / 1000 + 25 * RUN_SECONDS  # a busy machine's; the promise is in the benchmark
    assert overload.seconds(503, 50) < WAIT_MS / 1000 / 2


def noted(began: float, ended: float, opened: float, outcome: str, kind: str = "kept", label: str = "old") -> Noted:
    return Noted(began, ended, opened, kind, label, outcome)


@pytest.mark.parametrize(
    ("one", "is_lost"),
    [
        (noted(10.5, 10.6, 9, CUT), False),
        (noted(10.5, 11.6, 11.5, CUT), True),
        (noted(8, 9.5, 7, CUT), True),
        (noted(10.5, 10.6, 9, "503"), True),
        (noted(20.5, 20.6, 19, CUT), True),
        (noted(20.5, 20.6, 19, CUT, SELDOM), False),
        (noted(1, 2, 0, OK), False),
    ],
    ids=[
        "on a killed router's",
        "on the next one's",
        "before",
        "another answer",
        "on a busy one's that left",
        "on an idle one's",
        "answered",
    ],
)
def test_what_is_lost_is_told_from_what_a_killed_router_took_along(one: Noted, is_lost: bool):
    assert lost_of([one], [KILLED, LEFT, UPDATED]) == [one] * is_lost


def test_an_old_revision_may_answer_what_had_begun_before_the_first_answer_of_the_new_one_and_nothing_else():
    first = noted(31.0, 31.5, 0, OK, label="new")
    early, late = noted(31.4, 31.9, 0, OK), noted(31.6, 31.9, 0, OK)
    assert stale_of([early, late, first], [UPDATED]) == [late]


def test_garbage_is_the_same_for_the_same_seed():
    first, again = ([garbage(f"{SEED}-{number}", "key") for number in range(50)] for _ in range(2))
    assert first == again
    assert len({b"".join(pieces) for pieces in first}) == 50


@pytest.mark.parametrize(
    ("came", "is_wrong"),
    [
        (b"", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 500 Internal Server Error\r\n\r\n", True),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", True),
        (b"Traceback", True),
    ],
)
def test_what_garbage_may_not_be_told_is_seen(came: bytes, is_wrong: bool):
    assert bool(fault_of(came)) == is_wrong
