"""Clients of a service that mean no good, or know no better: slow ones, endless ones, ones that vanish, a thousand idle ones, garbage.

A program of its own: `python -m benchmarks.hostile PORT SEED KEY_FILE FOUND` does so until its input ends, and then writes as JSON how
often it did what, and what was wrong with how the service took it. A connection that is reset is never wrong: the router may have been
killed.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_batchinfer.service.bodies import BODY_SECONDS, MOST_BODY_BYTES
from airflow_batchinfer.service.connections import ANSWER_SECONDS, HEAD_SECONDS
from benchmarks.garbage import garbage, good_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

GRACE_SECONDS = 20.0  # how much later than it should a busy machine may do something
IDLE = 1_000
SLOW = 10
PIPELINED = 500
LARGE_ANSWER = 8_000_000
PIECE = 1 << 16
QUIET_SECONDS = 0.3
# What garbage may be told. 5xx would be ours: 500 a fault of the router, 502 one of the script, 504 a replica that was lost.
MAY_BE_TOLD = frozenset({100, 200, 400, 401, 404, 405, 408, 413, 415, 417, 431, 503})

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hostile:
    """All of them, each kind again and again until time is up."""

    def __init__(self, port: int, seed: str, key_file: Path) -> None:
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._port = port
        self._seed = seed
        self._key_file = key_file
        self._cases = 0

    async def work(self) -> None:
        """Let each kind do its worst."""
        kinds: list[tuple[Callable[[], Awaitable[None]], float, int]] = [
            (self.slow_head, 0.1, SLOW),
            (self.slow_body, 0.1, SLOW),
            (self.endless_body, 10.0, 1),
            (self.endless_body_without_a_key, 3.0, 1),
            (self.too_long, 1.0, 1),
            (self.vanishes_with_a_reset, 0.1, 2),
            (self.never_reads, 1.0, 4),
            (self.idle, 5.0, 1),
            (self.pipelines, 2.0, 1),
            (self.wrong_key, 0.2, 1),
            (self.sends_garbage, 0.02, 2),
            (self.sends_garbage_and_stays, 0.1, 2),
        ]
        tasks = [asyncio.create_task(self._again(do, pause)) for do, pause, many in kinds for _ in range(many)]
        over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for failed in (task for task in tasks if task.done() and not task.cancelled()):
            failed.result()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, do: Callable[[], Awaitable[None]], pause: float) -> None:
        what = do.__name__.replace("_", " ")
        while True:
            try:
                await do()
            except TimeoutError:
                self.wrong.append(f"{what}: no end within {GRACE_SECONDS:g} s more than it may take")
            except (OSError, asyncio.IncompleteReadError):  # the router may have been killed
                pass
            self.done[what] += 1
            await asyncio.sleep(pause)

    async def slow_head(self) -> None:
        """A head, a byte at a time."""
        async with self._connected() as (reader, writer):
            await self._drip(reader, writer, b"POST /score HTTP/1.1\r\nx-slow: ", HEAD_SECONDS, "a head that never ends")

    async def slow_body(self) -> None:
        """A body, a byte at a time."""
        async with self._connected() as (reader, writer):
            await self._drip(reader, writer, self._head("content-length: 10000"), BODY_SECONDS, "a body that comes too slowly")

    async def endless_body(self) -> None:
        """A body of ever more chunks, from somebody with a key."""
        said = await self._pour(self._head("transfer-encoding: chunked"), 2 * MOST_BODY_BYTES)
        if said and not said.startswith(b"HTTP/1.1 413 "):
            self.wrong.append(f"an endless body was answered {said[:60]!r}")

    async def endless_body_without_a_key(self) -> None:
        """As before, from somebody without one: it should be refused before it is read."""
        said = await self._pour(b"POST /score HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", MOST_BODY_BYTES // 2)
        if said and not said.startswith(b"HTTP/1.1 401 "):
            self.wrong.append(f"an endless body without a key was answered {said[:60]!r}")

    async def too_long(self) -> None:
        """A length that is over the limit."""
        async with self._connected() as (reader, writer):
            writer.write(self._head(f"content-length: {MOST_BODY_BYTES + 1}"))
            async with asyncio.timeout(GRACE_SECONDS):
                said = await reader.read()
            if said and not said.startswith(b"HTTP/1.1 413 "):
                self.wrong.append(f"a body that is too long was answered {said[:60]!r}")

    async def vanishes_with_a_reset(self) -> None:
        """Half a request, or a whole one, and no farewell."""
        async with self._connected() as (_, writer):
            whole = good_request(self._key())
            self._cases += 1
            writer.write(whole[: len(whole) - self._cases % 3 * 40])
            await writer.drain()
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def never_reads(self) -> None:
        """Asks for a long answer and takes none of it, as one whose cable was pulled."""
        async with self._connected() as (reader, writer):
            reader._transport.pause_reading()  # noqa: SLF001 - a stream has no other way not to read
            body = json.dumps({"id": "silent", "answer": LARGE_ANSWER}).encode()
            writer.write(self._head(f"content-length: {len(body)}") + body)
            await self._ends(writer, ANSWER_SECONDS, "an answer that nobody reads")

    async def idle(self) -> None:
        """A thousand who connect and say nothing."""
        async with asyncio.timeout(HEAD_SECONDS + 2 * GRACE_SECONDS):
            await asyncio.gather(*(self._say_nothing() for _ in range(IDLE)), return_exceptions=True)

    async def _say_nothing(self) -> None:
        async with self._connected() as (reader, _):
            await reader.read()

    async def wrong_key(self) -> None:
        """Somebody who guesses."""
        async with self._connected() as (reader, writer):
            writer.write(good_request("0" * 64))
            async with asyncio.timeout(GRACE_SECONDS):
                said = await reader.read()
            if said and not said.startswith(b"HTTP/1.1 401 "):
                self.wrong.append(f"a wrong key was answered {said[:60]!r}")

    async def pipelines(self) -> None:
        """Hundreds of requests at once, on one connection: all are answered in turn."""
        async with self._connected() as (reader, writer):
            writer.write(good_request(self._key()) * PIPELINED)
            answered = 0
            async with asyncio.timeout(GRACE_SECONDS):
                while answered < PIPELINED:
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
                    answered += 1
                    if not head.startswith(b"http/1.1 200") and not head.startswith(b"http/1.1 503"):
                        self.wrong.append(f"a pipelined request was answered {head[:60]!r}")

    async def sends_garbage(self) -> None:
        """Bytes by a seed; whoever sends them does not wait long for what comes."""
        await self._fuzz(stays=False)

    async def sends_garbage_and_stays(self) -> None:
        """As before, until the service ends the connection, which it must."""
        await self._fuzz(stays=True)

    async def _fuzz(self, *, stays: bool) -> None:
        self._cases += 1
        seed = f"{self._seed}-{self._cases}"
        came = b""
        async with self._connected() as (reader, writer):
            for piece in garbage(seed, self._key()):
                writer.write(piece)
                await asyncio.sleep(0.001)
            try:
                came = await self._whole(reader) if stays else await _what_comes_soon(reader)
            except TimeoutError:
                self.wrong.append(f"garbage of seed {seed!r}: its connection is not ended")
        if fault := fault_of(came):
            self.wrong.append(f"garbage of seed {seed!r}: {fault}")

    async def _whole(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(BODY_SECONDS + HEAD_SECONDS + GRACE_SECONDS):
            return await reader.read()

    async def _drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, seconds: float, what: str) -> None:
        writer.write(head)
        ending = asyncio.create_task(reader.read())
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        try:
            while not ending.done():
                writer.write(b"x")
                await asyncio.wait([ending], timeout=0.5)
                if time.monotonic() > deadline:
                    self.wrong.append(f"{what}: its connection is not ended")
                    return
        finally:
            ending.cancel()

    async def _pour(self, head: bytes, most_bytes: int) -> bytes:
        """Send until it is refused; what was said."""
        poured, piece = 0, b"%x\r\n%b\r\n" % (PIECE, b"x" * PIECE)
        async with self._connected() as (reader, writer):
            writer.write(head)
            said = asyncio.create_task(reader.read(PIECE))
            try:
                while not said.done() and poured < most_bytes:
                    writer.write(piece)
                    await writer.drain()
                    poured += PIECE
                    await asyncio.sleep(0)
            except ConnectionError:
                pass
            if poured >= most_bytes:
                self.wrong.append(f"a body was read on after {poured:,} bytes")
            async with asyncio.timeout(GRACE_SECONDS):
                return await said

    async def _ends(self, writer: asyncio.StreamWriter, seconds: float, what: str) -> None:
        """Wait for a reset, which is all that somebody who does not read can see."""
        sock = writer.get_extra_info("socket")
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        while not _is_over(sock):
            await asyncio.sleep(0.2)
            if time.monotonic() > deadline:
                self.wrong.append(f"{what}: its connection is not ended")
                return

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def _key(self) -> str:
        return self._key_file.read_text().split()[0]

    def _head(self, length: str) -> bytes:
        return f"POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self._key()}\r\n{length}\r\n\r\n".encode()


def fault_of(came: bytes) -> str | None:
    """What is wrong with what came: it must begin as an answer, and hold none that garbage may not be told."""
    if came and not came.startswith(b"HTTP/1."):
        return f"{came[:80]!r} begins no answer"
    told = {int(status) for status in _STATUS.findall(came)}
    return f"it is told {sorted(told - MAY_BE_TOLD)}" if told - MAY_BE_TOLD else None


async def _what_comes_soon(reader: asyncio.StreamReader) -> bytes:
    came = b""
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(QUIET_SECONDS):
                piece = await reader.read(PIECE)
            if not piece:
                break
            came += piece
    return came


def _is_over(sock: socket.socket) -> bool:
    """Whether the other end has reset it, or has sent and closed."""
    state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state not in (1, 8)  # established, or closed by the other end while we have not read all


def main(arguments: list[str]) -> None:
    """Be hostile until our input ends."""
    port, seed, key_file, found = arguments
    hostile = Hostile(int(port), seed, Path(key_file))
    asyncio.run(hostile.work())
    Path(found).write_text(json.dumps({"done": hostile.done, "wrong": hostile.wrong}))


if __name__ == "__main__":
    main(sys.argv[1:])
