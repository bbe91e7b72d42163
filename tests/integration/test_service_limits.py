"""What a replica may have of its machine, and what becomes of one that takes more."""

import asyncio
import os

import pytest

from airflow_batchinfer.processes.memory import held_bytes
from airflow_batchinfer.service.config import Scale, ServiceConfig
from airflow_batchinfer.service.limits import faults_of
from airflow_batchinfer.service.machine import this_machine
from airflow_batchinfer.service.seats import seats_of
from airflow_batchinfer.service.wire import Answered, Failed, Failure, Outcome
from tests.integration.lab import Lab
from tests.integration.leftovers import children
from tests.integration.pools import Stage, opened, played

MB = 1 << 20
LIMIT_GB = 0.125


@pytest.mark.parametrize("where", ["itself", "below"])
def test_a_replica_that_holds_more_memory_than_its_limit_is_replaced_with_the_reason_and_its_request_tried_once_more(lab: Lab, where: str):
    async def play() -> None:
        async with opened(lab, "holds_memory.py", Scale(1, 1, 100, 1), most_memory_gb=LIMIT_GB) as stage:
            outcome = await stage.ask({"mb": 250, "where": where})
            assert isinstance(outcome, Failed)
            assert (outcome.failure, stage.dispatcher.retried) == (Failure.DIED, 1)
            await stage.until(lambda: stage.pool.ready and stage.pool.restarted == 2, "it is replaced")
            ends = [line for line in stage.told if line.startswith("replica 0 ended: it held 0.")]
            assert len(ends) == 2
            assert all("GB, more than memory_gb_limit=0.125" in line for line in ends)
            assert await stage.value(1)
        assert lab.leftovers == []

    played(play)


def test_pages_that_processes_of_a_replica_share_count_once(lab: Lab):
    async def play() -> None:
        async with opened(lab, "holds_memory.py", Scale(1, 1, 100, 1), most_memory_gb=LIMIT_GB) as stage:
            worker = await stage.value({"mb": 60, "where": "shared", "times": 4})
            [keeper] = [keeper for keeper in children(os.getpid()) if worker in children(keeper)]
            assert len(children(worker)) == 4
            assert held_bytes(keeper, 1 << 50) > 5 * 60 * MB
            assert 60 * MB < held_bytes(keeper, int(LIMIT_GB * (1 << 30))) < 120 * MB
            assert await stage.value(1) == worker

    played(play)


def test_a_replica_is_held_to_as_many_cores_as_its_limit_from_its_first_line_and_cores_are_dealt_by_place(lab: Lab):
    script = lab.script("import os\nAT_IMPORT = sorted(os.sched_getaffinity(0))\n\n\ndef run(raw_data):\n    return AT_IMPORT\n")
    machine = this_machine(())
    config = ServiceConfig(cpu_cores_limit=1, num_replicas=2)
    assert faults_of(config, machine) == []

    async def play() -> None:
        async with opened(lab, script, config.scale, seats=seats_of(config, machine)) as stage:
            await stage.pool.started
            found = [await stage.value(1)]
            stage.pool.resize(1)
            await stage.until(lambda: stage.pool.ready == 1, "one is left")
            found.append(await stage.value(1))
            assert found[1] == [machine.own_cores[0]]
            assert all(len(cores) == 1 for cores in found)
        assert os.sched_getaffinity(0) == set(machine.own_cores)

    played(play)


def test_without_a_limit_a_replica_may_use_all_cores_there_are(lab: Lab):
    async def play() -> None:
        async with opened(lab, "tells_itself.py", Scale(1, 1, 100, 1)) as stage:
            assert (await stage.value(1))["cores"] == sorted(os.sched_getaffinity(0))

    played(play)


@pytest.mark.parametrize("replicas", [1, 2])
def test_one_request_that_ends_its_replica_costs_none_of_the_others_in_its_batch(lab: Lab, replicas: int):
    async def play() -> None:
        async with opened(lab, "poisoned_batches.py", Scale(replicas, replicas, 100, 1), at_once=64) as stage:
            asked = await batch_of(stage, lab, "poison")
            outcomes = [await one for one in asked]
            assert [number for number, one in enumerate(outcomes) if one == Failed(Failure.DIED)] == [30]
            assert sum(isinstance(one, Answered) for one in outcomes) == len(outcomes) - 1
            await stage.until(lambda: stage.pool.ready == replicas, "all are back")
            assert stage.pool.restarted == 2

    played(play)


def test_a_batch_that_takes_too_long_is_over_for_all_in_it_and_ends_one_replica_only(lab: Lab):
    async def play() -> None:
        async with opened(lab, "poisoned_batches.py", Scale(2, 2, 100, 1), at_once=64, scoring_seconds=1.0) as stage:
            asked = await batch_of(stage, lab, "hang")
            outcomes = [await one for one in asked]
            assert Failed(Failure.TIMED_OUT) in outcomes
            assert {type(one) for one in outcomes if one != Failed(Failure.TIMED_OUT)} == {Answered}
            await stage.until(lambda: stage.pool.ready == 2, "it is replaced")
            assert stage.pool.restarted == 1
            assert await stage.value("again") == 1

    played(play)


async def batch_of(stage: Stage, lab: Lab, bad: str) -> list[asyncio.Task[Outcome]]:
    """Sixty that come while all replicas are busy, so that each then has its share in one batch; the bad one is the thirtieth."""
    await stage.pool.started
    waiting = [asyncio.ensure_future(stage.ask("wait")) for _ in range(stage.pool.wanted)]
    await stage.until((lab.state / "waiting").exists, "one is busy")
    asked = [asyncio.ensure_future(stage.ask(bad if number == 30 else number)) for number in range(60)]
    await asyncio.sleep(0)
    (lab.state / "gate").touch()
    return [*asked, *waiting]
