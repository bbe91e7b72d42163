"""One connection of a caller: uvicorn's, which never gets more than a head's worth of bytes, or of time, before a request begins.

Without this, whoever may connect could hold memory and connections by a head that does not end, without a key. There are only so
many connections that replicas can always be started: one more is told so, and closed. Who leaves asks no more.
"""

import asyncio
import resource
import socket
import struct
from collections import deque
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from airflow_batchinfer.service.dispatching import CALLER_LEFT

MOST_HEAD_BYTES = 64 << 10
HEAD_SECONDS = 10.0
# An answer of which nothing is taken for so long is given up.
ANSWER_SECONDS = 60.0
LOOKS = 6
# When the service ends: so long a kept connection may bring one more request, and so long who is still sending it, or does not take
# its answer, is waited for.
IDLE_SECONDS = 1.0
LAST_SECONDS = 5.0
_FORGET_AT_ONCE = struct.pack("ii", 1, 0)
MOST_CONNECTIONS = 10_000
# Descriptors for replicas, files, and connections that come all at once and are not counted yet.
OTHER_DESCRIPTORS = 2_560
_TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def raise_the_limit() -> None:
    """Let this process have as many descriptors as that takes, if it may; its replicas inherit this, so it is no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def most_connections() -> int:
    """As many as may be open at once; of few descriptors half."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return min(MOST_CONNECTIONS, max(soft - OTHER_DESCRIPTORS, soft // 2))


class UpgradeRefused(Exception):
    """Another protocol was asked for. The parser would skip the body, and read what follows as the next request."""


class Connection(HttpToolsProtocol):
    """See above."""

    _in_head = True
    _head_began = False
    _head_bytes = 0
    _late: asyncio.TimerHandle | None = None
    _is_last = False
    _answers = 0
    _taking: asyncio.TimerHandle | None = None
    _is_lost = False
    _answering: asyncio.Task[Any] | None = None

    def __init__(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*given, **named)
        self._asked: deque[RequestResponseCycle] = deque()
        self._application = self.app
        self.app = self._answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has connected, and has so much time to ask."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Heads and bodies."""
        self._head_began = self._in_head
        super().data_received(data)
        if self._head_began:
            self._head_bytes += len(data)
            self._expect_head()
            if self._head_bytes > MOST_HEAD_BYTES:
                self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of the head; what comes behind a body is not taken for one, since no proxy has looked at it."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; what is raised here is told as 400, and ends the connection."""
        if self.parser.should_upgrade():
            raise UpgradeRefused
        self._in_head, self._head_began, self._head_bytes = False, False, 0
        self._expect_nothing()
        super().on_headers_complete()
        if self._is_last:
            if self._asked:
                self._asked[-1].keep_alive = True
            self.cycle.keep_alive = False
        self._asked.append(self.cycle)

    def on_message_complete(self) -> None:
        """The body is whole: what comes next is a head."""
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Who is answered before the body is whole sends no more of it: the connection ends."""
        has_more = not self._in_head and not self.pipeline
        self._asked.popleft()
        super().on_response_complete()
        self._answers += 1
        self._expect_taking()
        if has_more:
            self.transport.close()

    def shutdown(self) -> None:
        """The service ends: who was let in gets an answer, also who has asked already and was not read yet; the others have a moment."""
        self._is_last = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        self.loop.call_later(IDLE_SECONDS, self._close)
        self.loop.call_later(LAST_SECONDS, self._leave)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._is_lost = True
        self._expect_nothing()
        self._answer_nobody()
        super().connection_lost(exc)
        if self._answering:
            self._answering.cancel(CALLER_LEFT)

    def send_400_response(self, msg: str) -> None:
        """What came is no request, or not all of it: nothing that came before is answered any more."""
        self._answer_nobody()
        super().send_400_response(msg)

    def _answer_nobody(self) -> None:
        """Of several requests on their way uvicorn marks the last one only, and fails when it writes the answer of another."""
        for cycle in self._asked:
            cycle.disconnected = True

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._answering = asyncio.current_task()
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not self._is_lost:
                raise
        finally:
            self._answering = None

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._close)

    def _expect_nothing(self) -> None:
        if self._late:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self._late = None
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def _expect_taking(self) -> None:
        """Look again and again, while there is something of an answer that the caller has not taken, whether it takes any."""
        left = self.transport.get_write_buffer_size()
        if left and self._taking is None:
            self._look_later(self._answers, left, 0)

    def _look_later(self, answers: int, left: int, looks: int) -> None:
        self._taking = self.loop.call_later(ANSWER_SECONDS / LOOKS, self._look_whether_taken, answers, left, looks)

    def _look_whether_taken(self, answers: int, left: int, looks: int) -> None:
        self._taking = None
        if self._is_lost:
            return
        if self._answers != answers or self.transport.get_write_buffer_size() < left:
            self._expect_taking()
        elif looks + 1 < LOOKS:
            self._look_later(answers, left, looks + 1)
        else:
            self._reset()

    def _leave(self) -> None:
        waits_for_us = self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete
        if not waits_for_us and not self._is_lost:
            self._reset()

    def _reset(self) -> None:
        """End it, and have the kernel forget at once what was not taken: it would keep that for who does not read as long as we."""
        if (sock := self.transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FORGET_AT_ONCE)
        self._answer_nobody()
        self._is_lost = True  # the descriptor may be another connection's in a moment
        self.transport.abort()
