"""Worker processes: started, fed, listened to, and killed. Knows no policy: it reports, others decide.

A worker is a fresh interpreter with three pipes of its own: requests, replies, and `alive`, which its keeper holds and
which closes when the worker and everything below it are gone. Its standard output is a fourth, read by `printing`.
"""

import contextlib
import os
from collections import deque
from collections.abc import Iterator, Mapping

from airflow_batchinfer.engine.protocol import Answer, Call, Garbled, read_answer, run_frame, shutdown_frame
from airflow_batchinfer.processes import PIPE_BYTES, Child, Launch, pipe
from airflow_batchinfer.worker.framing import Unpacker


class Worker:
    """One worker process. `queue` are the calls it was given and has not answered, in order: the first one runs."""

    def __init__(self, number: int, launch: Launch, extra_environment: Mapping[str, str], output: int) -> None:
        self.number = number
        self.queue: deque[Call] = deque()
        self.ready = False
        self.began: float | None = None
        self.questions = 0
        self.asked_at = 0.0
        self.silent_since: float | None = None
        self.killed_at: float | None = None
        self.victim: Call | None = None
        self.stopped_because: str | None = None
        self._unsent = bytearray()
        self._unpacker = Unpacker()
        request_end, self.requests = pipe()
        self.replies, reply_end = pipe()
        try:
            self._child = Child(launch, extra_environment, output, request_end, reply_end)
        except BaseException:
            self._close_pipes()
            raise
        finally:
            for descriptor in (request_end, reply_end):
                os.close(descriptor)
        self.alive = self._child.alive
        os.set_blocking(self.requests, False)
        os.set_blocking(self.replies, False)

    @property
    def pid(self) -> int:
        """Of the keeper."""
        return self._child.pid

    def send(self, frame: bytes) -> None:
        """Queue a frame; what the pipe does not take now goes out with `flush`."""
        self._unsent += frame
        self.flush()

    def give(self, call: Call, items: bytes) -> None:
        """Give it one more mini-batch, or part of one."""
        self.queue.append(call)
        self.send(run_frame(call, items))

    def flush(self) -> None:
        """Send what the pipe takes."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                del self._unsent[: os.write(self.requests, self._unsent[:PIPE_BYTES])]

    @property
    def has_unsent(self) -> bool:
        """Whether `flush` is needed."""
        return bool(self._unsent)

    def read_answers(self) -> Iterator[Answer]:
        """The answers that have come so far. EOFError once the worker has closed its pipe, `Garbled` for nonsense."""
        while True:
            try:
                piece = os.read(self.replies, PIPE_BYTES)
            except BlockingIOError:
                return
            if not piece:
                raise EOFError
            try:
                yield from map(read_answer, self._unpacker.feed(piece))
            except ValueError as error:
                raise Garbled(str(error)[:200]) from error
            if len(piece) < PIPE_BYTES // 2:
                return

    def ask_to_end(self) -> None:
        """Let it call `shutdown()` and leave."""
        self.send(shutdown_frame())

    def kill(self, now: float, because: str | None = None) -> None:
        """Have its keeper kill it and everything below it; `alive` closes when that is done."""
        if self.killed_at is None:
            self.killed_at, self.stopped_because = now, because
            self.victim = self.queue[0] if self.queue else None
        self._child.kill()

    def kill_keeper(self) -> None:
        """The last resort, when the keeper itself does not answer."""
        self._child.kill_keeper()

    def collect(self, timeout_seconds: float = 2.0) -> str:
        """Reap the process and close the pipes; say how it ended."""
        ended = self._child.collect(timeout_seconds)
        self._close_pipes()
        return self.stopped_because or ended

    def _close_pipes(self) -> None:
        for descriptor in (self.requests, self.replies):
            with contextlib.suppress(OSError):
                os.close(descriptor)
