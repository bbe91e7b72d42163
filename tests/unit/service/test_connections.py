"""A connection is given so much time and so many bytes for a head, and no more."""

import asyncio
import logging
import resource
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import uvicorn
from uvicorn.server import ServerState

from airflow_batchinfer.service import connections
from airflow_batchinfer.service.connections import MOST_HEAD_BYTES, Connection

HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n"


class Wire(asyncio.Transport):
    """A transport that leads nowhere, and says when it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()
        self.written = b""
        self.aborted = asyncio.Event()
        self.left = [0]
        self.taken = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed.set()

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def abort(self) -> None:
        self.aborted.set()
        self.closed.set()

    def get_write_buffer_size(self) -> int:
        """What the caller has not taken: one number after the other, the last one again and again."""
        if len(self.left) == 1:
            self.taken.set()
            return self.left[0]
        return self.left.pop(0)

    def resume_reading(self) -> None:
        """Nothing was paused."""

    def pause_reading(self) -> None:
        """Nothing comes by itself."""


async def answer(scope: dict, receive: Callable, send: Callable[[dict], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


def connected(application: Callable = answer, state: ServerState | None = None) -> tuple[Connection, Wire]:
    connection = Connection(uvicorn.Config(application, lifespan="off", log_config=None), state or ServerState(), {})
    wire = Wire()
    connection.connection_made(wire)
    return connection, wire


def played(play: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), 20))


@pytest.mark.parametrize("sent", [b"", HEAD], ids=["nothing", "half a head"])
def test_who_does_not_ask_in_time_is_let_go(monkeypatch: pytest.MonkeyPatch, sent: bytes):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.01)

    async def play() -> None:
        connection, wire = connected()
        if sent:
            connection.data_received(sent)
        await wire.closed.wait()
        assert wire.written == b""
        connection.connection_lost(None)

    played(play)


def test_a_head_that_never_ends_is_read_no_further_than_the_limit():
    async def play() -> None:
        connection, wire = connected()
        connection.data_received(HEAD + b"a: ")
        pieces = 0
        while not wire.is_closing():
            connection.data_received(b"x" * 1000)
            pieces += 1
        assert pieces <= MOST_HEAD_BYTES // 1000 + 1
        connection.connection_lost(None)

    played(play)


def test_a_request_in_pieces_of_any_size_is_answered_and_the_next_one_too():
    async def play() -> None:
        connection, wire = connected()
        for _ in range(2):
            for piece in (HEAD[:5], HEAD[5:], b"a: b\r\n", b"\r\n"):
                connection.data_received(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert wire.written.count(b"200 OK") == 2
        assert not wire.is_closing()
        connection.connection_lost(None)

    played(play)


def test_a_header_behind_the_body_is_not_taken_for_one_of_the_head():
    async def play() -> None:
        connection, _ = connected()
        connection.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        connection.data_received(b"0\r\nx-user: admin\r\n\r\n")
        assert [name for name, _ in connection.scope["headers"]] == [b"host", b"transfer-encoding"]
        connection.data_received(HEAD + b"a: b\r\n\r\n")
        assert [name for name, _ in connection.scope["headers"]] == [b"host", b"a"]
        connection.connection_lost(None)

    played(play)


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_who_asks_for_another_protocol_is_refused_and_no_body_is_taken_for_a_request(protocol: bytes):
    async def play() -> None:
        connection, wire = connected()
        connection.data_received(
            b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: %b\r\ncontent-length: 29\r\n\r\n" % protocol
        )
        assert wire.written.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" in wire.written
        assert wire.is_closing()
        assert connection.cycle is None
        connection.connection_lost(None)

    played(play)


def test_a_body_that_goes_on_after_the_answer_ends_the_connection():
    async def play() -> None:
        connection, wire = connected()
        connection.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
        await wire.closed.wait()
        assert wire.written.startswith(b"HTTP/1.1 200 OK")
        connection.connection_lost(None)

    played(play)


async def never_answer(scope: dict, receive: Callable, send: Callable[[dict], Awaitable[None]]) -> None:
    await asyncio.Event().wait()


def test_who_takes_nothing_of_its_answer_is_reset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.01)

    async def play() -> None:
        connection, wire = connected()
        wire.left = [1_000]
        connection.data_received(HEAD + b"\r\n")
        await wire.aborted.wait()
        connection.connection_lost(None)

    played(play)


def test_who_takes_its_answer_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.001)

    async def play() -> None:
        connection, wire = connected()
        wire.left = [3]
        for number in (2, 1, 0):
            wire.left += [number + 1] * (connections.LOOKS - 1) + [number] * 2
        connection.data_received(HEAD + b"\r\n")
        await wire.taken.wait()
        assert not wire.aborted.is_set()
        connection.connection_lost(None)

    played(play)


def test_who_is_still_sending_does_not_keep_the_service_from_ending(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "LAST_SECONDS", 0.01)

    async def play() -> None:
        connection, wire = connected(never_answer)
        connection.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
        connection.shutdown()
        await wire.aborted.wait()
        connection.connection_lost(None)

    played(play)


def test_who_was_let_in_is_answered_however_long_that_takes_after_the_service_was_told_to_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "LAST_SECONDS", 0.0)
    may_answer = asyncio.Event()

    async def answer_then(scope: dict, receive: Callable, send: Callable[[dict], Awaitable[None]]) -> None:
        await may_answer.wait()
        await answer(scope, receive, send)

    async def play() -> None:
        connection, wire = connected(answer_then)
        connection.data_received(HEAD + b"\r\n")
        connection.shutdown()
        late = asyncio.get_running_loop().call_later(0.05, may_answer.set)
        await wire.closed.wait()
        assert late.when() <= asyncio.get_running_loop().time()
        assert wire.written.startswith(b"HTTP/1.1 200 OK")
        assert not wire.aborted.is_set()
        connection.connection_lost(None)

    played(play)


def test_who_has_asked_when_the_service_is_told_to_end_is_answered_though_it_was_not_read_yet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.01)

    async def play() -> None:
        connection, wire = connected()
        connection.data_received(HEAD + b"\r\n")
        await asyncio.sleep(0)
        connection.shutdown()
        assert not wire.is_closing()
        connection.data_received((HEAD + b"\r\n") * 3)
        await wire.closed.wait()
        assert wire.written.count(b"200 OK") == 4
        assert wire.written.count(b"connection: close") == 1
        assert wire.written.endswith(b"connection: close\r\n\r\n")
        connection.connection_lost(None)


def test_one_connection_too_many_is_told_so_and_closed_and_the_others_are_answered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "most_connections", lambda: 1)

    async def play() -> None:
        state = ServerState()
        first, its_wire = connected(state=state)
        second, wire = connected(state=state)
        assert wire.written.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in wire.written
        assert wire.is_closing()
        second.connection_lost(None)
        first.data_received(HEAD + b"\r\n")
        await asyncio.sleep(0)
        assert its_wire.written.startswith(b"HTTP/1.1 200 OK")
        third, wire = connected(state=state)
        assert wire.is_closing()
        first.connection_lost(None)
        third.connection_lost(None)
        assert not connected(state=state)[1].is_closing()

    played(play)


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"\r\n"], ids=["nothing", "half a head", "a request before"])
def test_who_asks_nothing_more_when_the_service_ends_is_let_go(monkeypatch: pytest.MonkeyPatch, sent: bytes):
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.01)

    async def play() -> None:
        connection, wire = connected()
        connection.data_received(sent)
        await asyncio.sleep(0)
        connection.shutdown()
        await wire.closed.wait()
        assert not wire.aborted.is_set()
        connection.connection_lost(None)


@pytest.mark.parametrize(
    ("soft", "most"), [(300, 150), (4_000, 2_000), (6_000, 3_440), (1 << 20, 10_000), (resource.RLIM_INFINITY, 10_000)]
)
def test_there_are_never_so_many_connections_that_nothing_else_can_be_opened(monkeypatch: pytest.MonkeyPatch, soft: int, most: int):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert connections.most_connections() == most


def test_who_leaves_ends_what_was_done_for_it_and_that_is_no_error(caplog: pytest.LogCaptureFixture):
    async def play() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def wait(scope: dict, receive: Callable, send: Callable) -> None:
            del scope, receive, send
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        connection, _ = connected(wait)
        connection.data_received(HEAD + b"\r\n")
        await begun.wait()
        connection.connection_lost(None)
        await ended.wait()
        await asyncio.gather(*connection.tasks)
        assert caplog.records == []

    played(play)


@pytest.mark.parametrize("ending", [b"", b"\0"], ids=["who asked has left", "garbage comes behind them"])
def test_of_several_requests_on_their_way_none_is_answered_to_nobody_or_told_to_the_log(caplog: pytest.LogCaptureFixture, ending: bytes):
    begun = asyncio.Event()

    async def finish(scope: dict, receive: Callable, send: Callable[[dict], Awaitable[None]]) -> None:
        begun.set()
        with suppress(asyncio.CancelledError):  # a replica has it
            await asyncio.Event().wait()
        await answer(scope, receive, send)

    async def play() -> None:
        connection, wire = connected(finish)
        connection.data_received((HEAD + b"\r\n") * 3)
        await begun.wait()
        if ending:
            connection.data_received(ending)
            assert wire.written.startswith(b"HTTP/1.1 400 ")
        came = wire.written
        connection.connection_lost(None)
        await asyncio.gather(*connection.tasks)
        assert wire.written == came
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []

    played(play)
