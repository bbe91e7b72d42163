"""What a replica may have of its machine, and what becomes of one that takes more."""

import os

import pytest

from airflow_batchinfer.processes.memory import held_bytes
from airflow_batchinfer.service.config import Scale, ServiceConfig
from airflow_batchinfer.service.limits import faults_of
from airflow_batchinfer.service.machine import this_machine
from airflow_batchinfer.service.seats import seats_of
from airflow_batchinfer.service.wire import Failed, Failure
from tests.integration.lab import Lab
from tests.integration.leftovers import children
from tests.integration.pools import opened, played

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
