"""Well-behaved callers of a service, of every kind there is, each of which looks whether the answer it gets is its own.

A program of its own: `python -m benchmarks.callers PORT NOTES` notes one line for each request: when it began and ended, when its
connection was opened, the caller's kind, the label of the revision, and what came of it. Keys come as lines on its input, of which the
last counts; when that ends, the callers do.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import uvloop

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_SECONDS = 60.0
OK, CUT, REFUSED, LATE, WRONG = "ok", "cut", "refused", "late", "wrong"
SELDOM = "seldom"  # of a kind whose connections a service that ends finds idle
AT_ONCE = 5
CHUNK_BYTES = 10_000


@dataclass(frozen=True)
class Kind:
    """What a caller does.

    :param many: How many of them.
    :param pause_seconds: From an answer to the next request, half of it more or less.
    :param body_bytes: About how long a body is; None asks with GET.
    :param answer_bytes: About how long an answer should be.
    :param run_seconds: How long `run()` should take.
    :param keeps: Whether its connection is kept for the next request.
    :param at_once: How many requests it sends before it reads an answer.
    """

    name: str
    many: int
    pause_seconds: float
    body_bytes: int | None = 100
    answer_bytes: int = 0
    run_seconds: float = 0.0
    keeps: bool = True
    chunked: bool = False
    at_once: int = 1


KINDS = (
    Kind("kept", 6, 0.03),
    Kind(SELDOM, 500, 2.4),
    Kind("new-connection", 4, 0.04, keeps=False),
    Kind("query", 2, 0.04, None),
    Kind("slow-run", 2, 0.05, run_seconds=0.02),
    Kind("pipelined", 1, 0.1, at_once=AT_ONCE),
    Kind("in-chunks", 1, 0.1, 50_000, chunked=True),
    Kind("large", 1, 0.5, 1_000_000, 1_000_000),
)


@dataclass(frozen=True)
class Sent:
    """One request, and what its answer must hold."""

    request_id: str
    crc: int | None
    data: bytes


class Caller:
    """One of them."""

    def __init__(self, kind: Kind, number: int, port: int, told: Told, notes: TextIO) -> None:
        self._kind = kind
        self._number = number
        self._port = port
        self._told = told
        self._notes = notes
        self._pauses = random.Random(number)  # noqa: S311 - else callers that once waited together ask together from then on
        self._asked = 0
        self._opened = 0.0
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def work(self) -> None:
        """Ask, look, pause, ask again, none at the same time; nothing that is still under way at the end is left out."""
        await asyncio.sleep(self._kind.pause_seconds * self._number / self._kind.many)
        while not self._told.is_over:
            sent = [self._next() for _ in range(self._kind.at_once)]
            began = time.monotonic()
            for outcome, label in await self._ask(sent):
                times = f"{began:.4f} {time.monotonic():.4f} {self._opened:.4f}"
                self._notes.write(f"{times} {self._kind.name} {label} {outcome}\n")
            await asyncio.sleep(self._kind.pause_seconds * self._pauses.uniform(0.5, 1.5))
        self._close()

    def _next(self) -> Sent:
        self._asked += 1
        kind, request_id = self._kind, f"{self._kind.name}-{self._number}-{self._asked}"
        head = f"host: 127.0.0.1\r\nauthorization: Bearer {self._told.key}\r\nx-request-id: {request_id}\r\n"
        if kind.body_bytes is None:
            return Sent(request_id, None, f"GET /score?id={request_id} HTTP/1.1\r\n{head}\r\n".encode())
        asked = {"id": request_id, "seconds": kind.run_seconds, "answer": kind.answer_bytes, "filler": ""}
        body = json.dumps({**asked, "filler": "x" * max(0, kind.body_bytes - 80)}).encode()
        pieces = _chunks(body) if kind.chunked else body
        length = "transfer-encoding: chunked" if kind.chunked else f"content-length: {len(body)}"
        return Sent(request_id, zlib.crc32(body), f"POST /score HTTP/1.1\r\n{head}{length}\r\n\r\n".encode() + pieces)

    async def _ask(self, sent: Sequence[Sent]) -> list[tuple[str, str]]:
        """What came of each, and which revision said so. A connection that ends cuts all that was asked on it."""
        came: list[tuple[str, str]] = []
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await self._connected()
                writer.write(b"".join(one.data for one in sent))
                await writer.drain()
                for one in sent:
                    came.append(await self._read(reader, one))  # noqa: PERF401 - what came before one that fails counts
        except TimeoutError:
            return self._ended(came, sent, LATE)
        except ConnectionRefusedError:
            return self._ended(came, sent, REFUSED)
        except (OSError, asyncio.IncompleteReadError):
            return self._ended(came, sent, CUT)
        if not self._kind.keeps or self._streams is None:
            self._close()
        return came

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof() or self._streams[0].exception():
            self._close()
            self._opened = time.monotonic()
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams

    async def _read(self, reader: asyncio.StreamReader, sent: Sent) -> tuple[str, str]:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        body = await reader.readexactly(int(headers[b"content-length"]))
        if headers.get(b"connection") == b"close":
            self._close()
        status = head[9:12].decode()
        if status != "200":
            return status, "-"
        said = json.loads(body)
        is_its_own = (said["id"], headers[b"x-request-id"].decode()) == (sent.request_id, sent.request_id)
        is_whole = sent.crc in (None, said["crc"]) and len(said["padding"]) == self._kind.answer_bytes
        return OK if is_its_own and is_whole else WRONG, said["label"]

    def _ended(self, came: list[tuple[str, str]], sent: Sequence[Sent], how: str) -> list[tuple[str, str]]:
        self._close()
        return came + [(how, "-")] * (len(sent) - len(came))

    def _close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None


class Told:
    """What whoever started us says on our input: which key is good, and when it is over."""

    def __init__(self) -> None:
        self.key = ""
        self.is_over = False

    async def listen(self) -> asyncio.Task[None]:
        """Begin to, and wait for the first key."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        self.key = (await reader.readline()).decode().strip()
        return asyncio.create_task(self._follow(reader))

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self.key = line.decode().strip()
        self.is_over = True


def _chunks(body: bytes) -> bytes:
    pieces = [body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def _call(port: int, notes: TextIO) -> None:
    told = Told()
    following = await told.listen()
    callers = [Caller(kind, number, port, told, notes) for kind in KINDS for number in range(kind.many)]
    await asyncio.gather(following, *(caller.work() for caller in callers))


if __name__ == "__main__":
    _port, _notes = sys.argv[1:]
    with Path(_notes).open("w") as _file:
        uvloop.run(_call(int(_port), _file))
