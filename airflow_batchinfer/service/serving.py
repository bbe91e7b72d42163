"""One revision at work: its replicas with their queue, and what a request must bring. HTTP is in front of it, others come after it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from airflow_batchinfer.processes import Launch, Show
from airflow_batchinfer.service.config import ServiceConfig
from airflow_batchinfer.service.dispatching import Dispatcher, Limits
from airflow_batchinfer.service.keys import KeyFile
from airflow_batchinfer.service.pool import Pool
from airflow_batchinfer.service.protocol import Start
from airflow_batchinfer.service.replica import Role
from airflow_batchinfer.service.seats import Seats

LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Service:
    """What is served, how, and for whom; without keys everyone who can connect may ask."""

    name: str
    config: ServiceConfig
    launch: Launch
    start: Start
    keys: KeyFile | None
    seats: Seats = field(default_factory=Seats)


class Serving:
    """See above. `pool.started` is done when its first replicas are ready, or holds why they cannot be."""

    def __init__(self, service: Service, show: Show, tell: Callable[[str], None]) -> None:
        config = service.config
        self.service = service
        self._at_once = config.replica_max_concurrent_requests
        limits = Limits(config.scoring_timeout_ms / 1000, config.max_request_wait_time / 1000, self._at_once)
        self.most_seconds = limits.scoring_seconds + limits.most_wait_seconds
        self.dispatcher = Dispatcher(limits)
        role = Role(service.launch, service.start, show)
        self.pool = Pool(
            role,
            self.dispatcher,
            config.scale,
            init_seconds=config.initial_delay_seconds,
            seats=service.seats,
            most_memory_gb=config.memory_gb_limit,
        )
        self.pool.tell = tell

    def open(self, after: "Serving | None" = None) -> None:
        """Start its first replicas: as many as whoever it comes after has for the load that there is, if it may have them."""
        self.pool.open(self._at_once, after.pool.asked_for if after else 0)

    async def close(self) -> None:
        """Whoever still waits gets an answer that says so; the replicas end."""
        self.dispatcher.stop()
        await self.pool.close()

    async def finish(self) -> None:
        """Close it when all that it was given is answered; it is given nothing more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.most_seconds):
                while self.dispatcher.running or self.dispatcher.waiting:  # noqa: ASYNC110 - rare; an event would be set for each request
                    await asyncio.sleep(LOOK_SECONDS)
        await self.close()

    def accepts(self, authorization: bytes | None) -> bool:
        """Whether a request holds a good key, if one is asked for."""
        keys = self.service.keys
        return keys is None or keys.at(time.monotonic()).accept(authorization)
