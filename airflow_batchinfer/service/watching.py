"""Ends replicas that hold more memory than they may; it is looked a few times a second, in a thread, never on a request's way."""

import asyncio
from collections.abc import Callable, Iterable

from airflow_batchinfer.processes.memory import held_bytes
from airflow_batchinfer.service.limits import GB
from airflow_batchinfer.service.replica import Replica

LOOK_SECONDS = 0.25


async def watch_memory(most_gb: float, replicas: Callable[[], Iterable[Replica]]) -> None:
    """Until it is cancelled. What of a replica counts is all below its keeper."""
    most_bytes = int(most_gb * GB)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        looked_at = [replica for replica in replicas() if not replica.is_closed]
        held = await asyncio.to_thread(_held, [replica.keeper for replica in looked_at], most_bytes)
        for replica, its_bytes in zip(looked_at, held, strict=True):
            if its_bytes > most_bytes and not replica.is_closed:
                replica.kill(f"it held {its_bytes / GB:.3g} GB, more than memory_gb_limit={most_gb:g}")


def _held(keepers: list[int], most_bytes: int) -> list[int]:
    return [held_bytes(keeper, most_bytes) for keeper in keepers]
