"""The replicas of a service that cannot be started."""

import asyncio

from airflow_batchinfer.processes import Launch
from airflow_batchinfer.service.config import Scale
from airflow_batchinfer.service.dispatching import Dispatcher, Limits
from airflow_batchinfer.service.pool import Pool
from airflow_batchinfer.service.protocol import Start
from airflow_batchinfer.service.replica import Role


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
