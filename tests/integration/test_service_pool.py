"""The replicas of a service: those that cannot be started, and what those that can have of their machine."""

import asyncio
import tempfile
from collections.abc import Sequence

import pytest

from airflow_batchinfer.environments.gpus import lock_gpus, visible_gpus
from airflow_batchinfer.processes import Launch
from airflow_batchinfer.service.config import Scale
from airflow_batchinfer.service.dispatching import Dispatcher, Limits
from airflow_batchinfer.service.pool import Pool
from airflow_batchinfer.service.protocol import Start
from airflow_batchinfer.service.replica import Role
from airflow_batchinfer.service.seats import Seats
from tests.integration.lab import Lab
from tests.integration.leftovers import is_alive
from tests.integration.pools import Stage, opened, played

FIXED = {count: Scale(count, count, 100, 1) for count in range(1, 4)}


def test_a_place_that_waits_to_be_started_again_waits_also_when_the_service_grows():
    async def play() -> None:
        role = Role(Launch("/there/is/no/python", "/", {}), Start("score.py", "/"), lambda *_: None)
        pool = Pool(role, Dispatcher(Limits(1, 1, 1)), Scale(1, 3, 100, 1), init_seconds=1)
        told: asyncio.Queue[str] = asyncio.Queue()
        pool.tell = told.put_nowait
        pool.started.set_result(None)
        pool.open(1)
        for _ in range(2):  # at once; the next time is after half a second
            assert (await told.get()).startswith("replica 0 cannot be started")
        pool.resize(3)
        come = [told.get_nowait() for _ in range(told.qsize())]
        assert [line.partition(" cannot")[0] for line in come] == ["3 replicas instead of 1", "replica 1", "replica 2"]
        await pool.close()

    asyncio.run(asyncio.wait_for(play(), 20))


SAYS_WHEN_IT_LEAVES = """
import os
import threading
from pathlib import Path

STATE = Path(os.environ["STATE_DIR"])


def run(raw_data):
    (STATE / f"held-{os.getpid()}").touch()
    while not (STATE / "gate").exists():
        threading.Event().wait(0.01)
    return os.getpid()


def shutdown():
    (STATE / f"left-{os.getpid()}").touch()
"""


def test_a_pool_begins_with_as_many_replicas_as_the_load_before_it_took_if_it_may_have_them(lab: Lab):
    async def stage() -> None:
        pool = Stage(lab, "answers.py", Scale(1, 2, 70, 1)).pool
        try:
            pool.open(1, 9)
            await pool.started
            assert (pool.ready, pool.asked_for) == (2, 2)
        finally:
            await pool.close()

    asyncio.run(stage())


def test_replicas_that_the_load_does_not_need_any_more_shut_down_one_goes_on_and_none_is_called_dead(lab: Lab):
    async def play() -> None:
        scale = Scale(1, 3, 100, 1)
        async with opened(lab, lab.script(SAYS_WHEN_IT_LEAVES), scale, seats=Seats(), down_seconds=1.0) as stage:
            asked = [asyncio.ensure_future(stage.value(number)) for number in range(3)]
            await stage.until(lambda: len(list(lab.state.glob("held-*"))) == 3, "three run at once")
            (lab.state / "gate").touch()
            pids = {await one for one in asked}
            await stage.until(lambda: stage.pool.ready == 1 and not stage.pool.leaving, "one is left")
            left = {int(path.name.partition("-")[2]) for path in lab.state.glob("left-*")}
            assert (len(left), left < pids) == (2, True)
            assert not any(map(is_alive, left))
            assert {await stage.value(1)} == pids - left
            assert stage.pool.restarted == 0
            assert stage.told[-1].startswith("1 replicas instead of ")
            assert not any("ended" in line for line in stage.told)

    played(play)


@pytest.fixture
def gpus(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Two, whose locks lie in the lab."""
    monkeypatch.setattr(tempfile, "tempdir", str(lab.temporary))
    monkeypatch.setenv("BATCHINFER_GPUS", "a,b")
    return visible_gpus()


def are_free(gpus: Sequence[str]) -> list[str]:
    locks = lock_gpus(gpus, len(gpus))
    for lock in locks:
        lock.release()
    return [lock.gpu for lock in locks]


@pytest.mark.parametrize(("each", "seen"), [(None, None), (0, ""), (1, "a"), (2, "a,b")])
def test_a_replica_sees_as_many_gpus_as_it_is_given_and_they_are_free_after_it(
    lab: Lab, gpus: tuple[str, ...], each: int | None, seen: str | None
):
    async def play() -> None:
        async with opened(lab, "tells_itself.py", FIXED[1], seats=Seats(gpus, each)) as stage:
            assert (await stage.value(1))["gpus"] == seen
            assert are_free(gpus) == [gpu for gpu in gpus if gpu not in (seen or "")]
        assert are_free(gpus) == list(gpus)

    played(play)


def test_what_there_are_no_gpus_for_is_unschedulable_until_a_node_frees_them(lab: Lab, gpus: tuple[str, ...]):
    [of_a_node] = lock_gpus(gpus, 1)

    async def play() -> None:
        async with opened(lab, "tells_itself.py", FIXED[2], seats=Seats(gpus, 1)) as stage:
            await stage.pool.started
            assert (stage.pool.ready, stage.pool.unschedulable) == (1, 1)
            assert (await stage.value(1))["gpus"] == "b"
            assert "replica 1 waits for 1 of this machine's 2 GPUs, too few are free now" in stage.told
            of_a_node.release()
            await stage.until(lambda: stage.pool.ready == 2, "the other has a GPU")
            assert stage.pool.unschedulable == 0

    played(play)


def test_a_replica_that_takes_the_place_of_a_dead_one_has_its_gpu_and_nobody_else_gets_it_meanwhile(lab: Lab, gpus: tuple[str, ...]):
    async def play() -> None:
        async with opened(lab, "tells_itself.py", FIXED[1], seats=Seats(gpus, 1)) as stage:
            first = await stage.value(1)
            free_when_told: list[list[str]] = []
            stage.pool.tell = lambda _: free_when_told.append(are_free(gpus))
            lab.kill(first["pid"])
            await stage.until(lambda: free_when_told, "it is told that it is replaced")
            assert free_when_told == [["b"]]
            second = await stage.value(1)
            assert (second["gpus"], second["pid"] != first["pid"]) == ("a", True)

    played(play)


def test_who_is_sent_away_finishes_and_leaves_its_gpu_and_the_same_number_may_come_back_at_any_time(lab: Lab, gpus: tuple[str, ...]):
    async def play() -> None:
        async with opened(lab, "tells_itself.py", FIXED[2], seats=Seats(gpus, 1)) as stage:
            await stage.pool.started
            held = asyncio.ensure_future(stage.value("hold"))
            await stage.until((lab.state / "held").exists, "a request runs")
            stage.pool.cap(0)
            await stage.until(lambda: are_free(gpus), "the one without a request is gone")
            [its_gpu] = set(gpus) - set(are_free(gpus))
            stage.pool.resize(2)
            assert stage.pool.wanted == 0
            stage.pool.cap(None)
            await stage.until(lambda: stage.pool.ready == 1, "one is back")
            assert stage.pool.unschedulable == 1
            (lab.state / "gate").touch()
            assert (await held)["gpus"] == its_gpu
            await stage.until(lambda: stage.pool.ready == 2, "the other has the GPU of the one that is gone")
            for wanted in (1, 2, 0, 2, 1):
                stage.pool.resize(wanted)
            assert await stage.value(1)
            await stage.until(lambda: len(are_free(gpus)) == 1, "one is left")

    played(play)


def test_a_place_that_waits_to_be_started_again_keeps_its_gpu_until_nobody_wants_it(lab: Lab, gpus: tuple[str, ...]):
    async def play() -> None:
        async with opened(lab, lab.script("import os\nos._exit(7)\n"), FIXED[2], seats=Seats(gpus, 1)) as stage:
            stage.pool.started.set_result(None)
            await stage.until(lambda: sum("started in 0.5 s" in line for line in stage.told) == 2, "both pause")
            assert are_free(gpus) == []
            stage.pool.resize(1)
            await stage.until(lambda: len(are_free(gpus)) == 1, "the one that is not wanted leaves its GPU")
            await stage.pool.close()
            assert are_free(gpus) == list(gpus)

    played(play)


def test_a_pool_that_closes_before_anybody_is_ready_leaves_all_gpus(lab: Lab, gpus: tuple[str, ...]):
    async def play() -> None:
        async with opened(lab, lab.script("import time\ntime.sleep(3600)\n"), FIXED[3], seats=Seats(gpus, 1)) as stage:
            assert are_free(gpus) == []
            stage.pool.cap(1)
            await stage.until(lambda: are_free(gpus) == ["b"], "who was not ready goes at once")
        assert are_free(gpus) == ["a", "b"]

    played(play)
