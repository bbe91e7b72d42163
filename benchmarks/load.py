"""Load for an HTTP server: so many connections, each of which sends its next request when the answer to the last one is whole.

A server that closes after each answer is connected to anew for each request, which counts for its answer's time.

A program of its own, since it must not share a core with what it measures more than it has to:
`python -m benchmarks.load PORT CONNECTIONS SECONDS BODY_FILE` prints what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from pathlib import Path

import uvloop

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "
_OK = b"HTTP/1.1 200"
_CLOSES = b"connection: close"


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, port: int, request: bytes, answer: bytes, until: float) -> None:
        self.laps: list[float] = []
        self._port = port
        self._closes = False
        self.failed = 0
        self.over = asyncio.get_running_loop().create_future()
        self._request = request
        self._answer = answer
        self._until = until
        self._came = b""
        self._asked_at = 0.0

    async def connect(self) -> None:
        """Connect, and ask at once; if nobody listens any more, that is a failure."""
        self._asked_at = time.perf_counter()
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError:
            self.failed += 1
            self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The request goes first."""
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Ask again when the answer is whole: it ends as the first one did, or it is looked at."""
        self._came += data
        if not self._came.endswith(self._answer) and not _is_whole(self._came):
            return
        now = time.perf_counter()
        self.laps.append(now - self._asked_at)
        self.failed += not self._came.startswith(_OK)
        self._closes = self._closes or _CLOSES in self._came.partition(_END_OF_HEAD)[0].lower()
        self._came = b""
        if self._closes or now >= self._until:
            self._transport.close()
        else:
            self._asked_at = now
            self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is over; too early, unless the server said so or it was us who closed it."""
        del error
        if time.perf_counter() >= self._until:
            self._end()
        elif self._closes:
            self._connecting = asyncio.get_running_loop().create_task(self.connect())
        else:
            self.failed += 1
            self._end()

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


def _one_answer(port: int, body: bytes) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/score", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        return answer.read()


def _is_whole(came: bytes) -> bool:
    head, found, body = came.partition(_END_OF_HEAD)
    start = head.lower().index(_LENGTH) + len(_LENGTH) if found else 0
    return bool(found) and len(body) >= int(head[start:].split(b"\r\n", 1)[0])


async def _load(port: int, connections: int, seconds: float, body: bytes) -> dict[str, float]:
    head = f"POST /score HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    answer = await asyncio.to_thread(_one_answer, port, body)
    began = time.perf_counter()
    request, ending, until = head.encode() + body, _END_OF_HEAD + answer, began + seconds
    callers = [Caller(port, request, ending, until) for _ in range(connections)]
    for caller in callers:
        await caller.connect()
    await asyncio.gather(*(caller.over for caller in callers))
    took = time.perf_counter() - began
    laps = sorted(lap for caller in callers for lap in caller.laps)
    at = {f"p{share}_ms": 1000 * laps[min(len(laps) - 1, len(laps) * share // 100)] for share in (50, 99)}
    return {"requests_per_second": len(laps) / took, "failed": sum(caller.failed for caller in callers), **at}


if __name__ == "__main__":
    _port, _connections, _seconds, _body = sys.argv[1:]
    print(json.dumps(uvloop.run(_load(int(_port), int(_connections), float(_seconds), Path(_body).read_bytes()))))
