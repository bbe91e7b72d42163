"""One replica: a child process with a socket to it, in the router's event loop. It reports; others decide.

    router ──socket──> replica    requests and answers, as frames; any number on their way
           <─alive──── keeper     closes when the replica and everything below it are gone
           <─output─── replica    read as it comes, so that printing cannot block a script

Invariant: every request that was given is told of exactly once: `told`, or in `lost` when the process is gone.
"""

import asyncio
import contextlib
import os
import socket
import time
from dataclasses import dataclass
from typing import Protocol, cast

from airflow_batchinfer.processes import MOST_CHARACTERS, Budget, Child, Launch, Show
from airflow_batchinfer.service.protocol import Garbled, Question, Ready, Said, Start, ask_frame, read_frame, shutdown_frame, start_frame
from airflow_batchinfer.service.seats import Seat
from airflow_batchinfer.worker.framing import Unpacker

READ_BYTES = 1 << 16
END_SECONDS = 5.0
KEEPER_SECONDS = 1.7
FIRST_LOOK_SECONDS = 0.001


class Owner(Protocol):
    """Who is told what becomes of a replica."""

    def said(self, replica: "Replica", said: Said) -> None:
        """It is ready, cannot be, or has answered."""

    def closed(self, replica: "Replica") -> None:
        """It answers nothing more."""

    def gone(self, replica: "Replica", how: str) -> None:
        """The process and all below it have ended."""


@dataclass(frozen=True)
class Role:
    """How a replica is started, the same for all but for its seat."""

    launch: Launch
    start: Start
    show: Show


class Replica(asyncio.Protocol):
    """See above. `held` is what it was given and has not answered, by number, in that order."""

    def __init__(self, place: int, role: Role, seat: Seat, owner: Owner) -> None:
        self.place = place
        self.ready: Ready | None = None
        self.ready_at: float | None = None
        self.answered = 0
        self.held: dict[int, None] = {}
        self.stopped_because: str | None = None
        self.retired = False
        self.is_gone = asyncio.Event()
        self._role = role
        self._cores = seat.cores
        self._owner = owner
        self._unpacker = Unpacker()
        self._transport: asyncio.WriteTransport | None = None
        self._closed = False
        self._printed = _Printed(place, role.show)
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair()
        reading = self._printed.open()
        twin = os.dup(theirs.fileno())
        try:
            self._child = Child(role.launch, seat.variables, reading, theirs.fileno(), twin)
        except BaseException:
            self._socket.close()
            self._printed.close()
            raise
        finally:
            theirs.close()
            os.close(twin)
            os.close(reading)

    @property
    def ready_seconds(self) -> float:
        """How long it has been ready."""
        return 0.0 if self.ready_at is None else time.monotonic() - self.ready_at

    @property
    def keeper(self) -> int:
        """The process above it."""
        return self._child.pid

    @property
    def is_closed(self) -> bool:
        """Whether it can be given nothing more."""
        return self._closed

    async def begin(self) -> None:
        """Tell it what to load."""
        self._loop.add_reader(self._child.alive, self._gone)
        self._socket.settimeout(0)
        await self._loop.create_unix_connection(lambda: self, sock=self._socket)

    def give(self, number: int, question: Question) -> None:
        """One request; whoever asks sees to it that the replica is ready and has room."""
        assert self.ready is not None  # noqa: S101 - see the sentence above
        assert self._transport is not None  # noqa: S101 - as above
        self.held[number] = None
        self._transport.write(ask_frame(number, question, self.ready))

    def kill(self, because: str) -> None:
        """Have its keeper kill it, and take no more answers of it."""
        self.stopped_because = self.stopped_because or because
        self._have_killed()
        self._close()

    def ask_to_end(self) -> None:
        """Let it call `shutdown()` and leave; one that does not is killed."""
        if self._transport and not self._closed:
            self._transport.write(shutdown_frame())
        self._loop.call_later(END_SECONDS, self._end_now)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Its first frame."""
        self._transport = cast("asyncio.WriteTransport", transport)
        if self._closed:
            self._transport.abort()
            return
        self._transport.write(start_frame(self._role.start, self._cores))

    def data_received(self, data: bytes) -> None:
        """Its answers."""
        if self._closed:
            return
        try:
            for frame in self._unpacker.feed(data):
                said = read_frame(frame)
                if isinstance(said, Ready):
                    self.ready, self.ready_at = said, time.monotonic()
                self._owner.said(self, said)
        except (Garbled, ValueError) as error:
            self.kill(f"it wrote what is no answer: {str(error)[:200]}")

    def connection_lost(self, error: Exception | None) -> None:
        """It has closed its end, or is dead; what lives on without a socket is of no use."""
        del error
        if not self._closed:
            self._have_killed()
            self._close()

    def _have_killed(self) -> None:
        self._child.kill()
        self._loop.call_later(KEEPER_SECONDS, self._kill_keeper)

    def _kill_keeper(self) -> None:
        """The replica dies with it, and what it started lives on: better than a place where nothing can be started again."""
        if not self.is_gone.is_set():
            self._child.kill_keeper()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._transport:
            self._transport.abort()
        self._owner.closed(self)

    def _end_now(self) -> None:
        if not self.is_gone.is_set():
            self.kill("it did not end when it was asked to")

    def _gone(self) -> None:
        """The keeper has let go of `alive`: nothing below it lives."""
        self._loop.remove_reader(self._child.alive)
        self._printed.close()
        self._close()
        self._collect(FIRST_LOOK_SECONDS)

    def _collect(self, pause: float) -> None:
        """The keeper ends in a moment; while it does, others are answered."""
        how = self._child.collect_if_ended()
        if how is None:
            if pause > KEEPER_SECONDS:
                self._child.kill_keeper()
            self._loop.call_later(pause, self._collect, 2 * pause)
            return
        self.is_gone.set()
        self._owner.gone(self, self.stopped_because or how)


class _Printed:
    """What a replica prints, a line at a time."""

    def __init__(self, place: int, show: Show) -> None:
        self._place = place
        self._show = show
        self._budget = Budget()
        self._line = b""
        self._reading = -1

    def open(self) -> int:
        """The writing end, which is the caller's to close."""
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self._read)
        return writing

    def close(self) -> None:
        """What has come until now, and no more."""
        while self._reading >= 0 and self._read():
            pass
        if self._reading >= 0:
            self._end()

    def _read(self) -> bool:
        try:
            text = os.read(self._reading, READ_BYTES)
        except BlockingIOError:
            return False
        if not text:
            self._end()
            return False
        had_some = self._budget.left
        allowed = self._budget.take(len(text))
        if allowed < len(text) and had_some:
            self._show(self._place, "... prints faster than can be shown; what does not come here is lost")
        *lines, self._line = (self._line + text[:allowed]).split(b"\n")
        if len(self._line) > READ_BYTES:
            lines, self._line = [*lines, self._line], b""
        for line in lines:
            self._show(self._place, line.decode("utf-8", "backslashreplace")[:MOST_CHARACTERS])
        return True

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._reading)
        with contextlib.suppress(OSError):
            os.close(self._reading)
        self._reading = -1
        if self._line:
            self._show(self._place, self._line.decode("utf-8", "backslashreplace")[:MOST_CHARACTERS])
            self._line = b""
