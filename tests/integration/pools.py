"""The replicas of a service without HTTP: a pool in this process, real replicas below it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from airflow_batchinfer.processes import Launch
from airflow_batchinfer.service.config import Scale
from airflow_batchinfer.service.dispatching import Dispatcher, Limits
from airflow_batchinfer.service.pool import Pool
from airflow_batchinfer.service.protocol import Question, Start
from airflow_batchinfer.service.replica import Role
from airflow_batchinfer.service.wire import Answered, Outcome
from tests.integration.lab import SCRIPTS, Lab
from tests.integration.leftovers import POLL_SECONDS

DEADLINE_SECONDS = 40.0


class Stage:
    """A pool, its queue, and what it told."""

    def __init__(self, lab: Lab, script: str | Path, scale: Scale, at_once: int = 1, scoring_seconds: float = 60.0, **how: object) -> None:
        self.told: list[str] = []
        path = SCRIPTS / script
        environment = {**os.environ, "STATE_DIR": str(lab.state)}
        start = Start(str(path), str(path.parent), at_once=at_once)
        self.dispatcher = Dispatcher(Limits(scoring_seconds, 60, at_once))
        role = Role(Launch(sys.executable, str(path.parent), environment), start, lambda _, line: self.told.append(line))
        self.pool = Pool(role, self.dispatcher, scale, **{"init_seconds": 60, **how})
        self.pool.tell = self.told.append

    async def ask(self, body: object) -> Outcome:
        return await self.dispatcher.ask(Question(json.dumps(body).encode(), "POST", "/score", b"", None, []))

    async def value(self, body: object) -> object:
        outcome = await self.ask(body)
        assert isinstance(outcome, Answered), (outcome, self.told)
        return json.loads(outcome.body)

    async def until(self, found: Callable[[], object], what: str) -> None:
        """Wait until the answer is true."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not found():  # noqa: ASYNC110 - of another process nobody tells us
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"in vain: {what}; told: {self.told}") from None


@asynccontextmanager
async def opened(lab: Lab, script: str | Path, scale: Scale, at_once: int = 1, **how: object) -> AsyncIterator[Stage]:
    """A pool that has begun, until the end of the block."""
    stage = Stage(lab, script, scale, at_once, **how)
    stage.pool.open(at_once)
    try:
        yield stage
    finally:
        stage.dispatcher.stop()
        await stage.pool.close()


def played(play: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), 2 * DEADLINE_SECONDS))
