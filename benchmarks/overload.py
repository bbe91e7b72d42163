"""Three times as many requests as a service can answer, whoever waits or not: what those see that are let in, and those that are not.

`run()` sleeps, so that what the service can do does not hang on how busy the machine is.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.deployed import deployed

if TYPE_CHECKING:
    from pathlib import Path

TIMES = 3
REPLICAS = 2
RUN_SECONDS = 0.02
WAIT_MS = 500
# How much longer than the longest wait whoever is let in may take, in calls of `run()`.
MOST_RUNS = 5
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Told:
    """One request: what it was told, when, and whether that was said as it should be."""

    status: int
    seconds: float
    is_right: bool


@dataclass(frozen=True)
class Overload:
    """What came of it."""

    offered_per_second: float
    told: tuple[Told, ...]

    def seconds(self, status: int, percent: int) -> float:
        """How long those waited that were told so."""
        laps = sorted(told.seconds for told in self.told if told.status == status) or [0.0]
        return laps[min(len(laps) - 1, len(laps) * percent // 100)]

    def count(self, status: int) -> int:
        """How many were told so."""
        return sum(told.status == status for told in self.told)

    @property
    def wrong(self) -> list[Told]:
        """Those that were told anything else, or without `Retry-After`, or another's answer."""
        return [told for told in self.told if not told.is_right]


def overloaded(folder: Path, seconds: float) -> Overload:
    """Deploy a service of its own, and ask too much of it."""
    with deployed("overloaded", folder, num_replicas=REPLICAS, max_request_wait_time=WAIT_MS) as service:
        return asyncio.run(_ask_too_much(service.port, service.keys[0], seconds))


async def _ask_too_much(port: int, key: str, seconds: float) -> Overload:
    """An open loop: who asks does not know that others wait."""
    rate = TIMES * REPLICAS / RUN_SECONDS
    began, asked = time.monotonic(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        asked.append(asyncio.create_task(_ask(port, key, number)))
    offered = len(asked) / (time.monotonic() - began)
    return Overload(offered, tuple(await asyncio.gather(*asked)))


async def _ask(port: int, key: str, number: int) -> Told:
    began = time.monotonic()
    body = json.dumps({"id": number, "seconds": RUN_SECONDS})
    head = f"POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{head}{body}".encode())
            came = await reader.read()
            writer.close()
    except OSError:
        return Told(0, time.monotonic() - began, is_right=False)
    took = time.monotonic() - began
    said, _, answer = came.partition(b"\r\n\r\n")
    status = int(said[9:12] or b"0")
    is_right = (status == 200 and json.loads(answer)["id"] == number) or (status == 503 and b"\r\nretry-after: " in said)
    return Told(status, took, is_right)
