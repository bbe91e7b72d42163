"""Worker processes: started, fed, listened to, and killed. Knows no policy: it reports, others decide.

A worker is a fresh interpreter with three pipes of its own: requests, replies, and `alive`, which its keeper holds and
which closes when the worker and everything below it are gone. Its standard output is a fourth, read by `printing`.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_batchinfer import worker as worker_package
from airflow_batchinfer.engine.protocol import Answer, Call, Garbled, read_answer, run_frame, shutdown_frame
from airflow_batchinfer.worker.framing import Unpacker

PIPE_BYTES = 1 << 20
WORKER_FOLDER = str(Path(worker_package.__file__).parent)


@dataclass(frozen=True)
class Launch:
    """How workers are started: with which interpreter, in which folder, with which environment."""

    executable: str
    folder: str
    environment: Mapping[str, str]


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
        request_end, self.requests = _pipe()
        self.replies, reply_end = _pipe()
        self.alive, alive_end = os.pipe()
        theirs = (request_end, reply_end, alive_end)
        try:
            self._process = subprocess.Popen(
                [launch.executable, WORKER_FOLDER, *map(str, theirs), str(os.getpid())],
                cwd=launch.folder,
                env={**launch.environment, **extra_environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=theirs,
                start_new_session=True,
            )
        except BaseException:
            self._close_pipes()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        os.set_blocking(self.requests, False)
        os.set_blocking(self.replies, False)

    @property
    def pid(self) -> int:
        """Of the keeper."""
        return self._process.pid

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
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill_keeper(self) -> None:
        """The last resort, when the keeper itself does not answer."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def collect(self, timeout_seconds: float = 2.0) -> str:
        """Reap the process and close the pipes; say how it ended."""
        try:
            code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill_keeper()
            code = self._process.wait()
        self._close_pipes()
        return self.stopped_because or _describe(code)

    def _close_pipes(self) -> None:
        for descriptor in (self.requests, self.replies, self.alive):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _describe(code: int) -> str:
    if code >= 0:
        return f"the worker process exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = ", as the kernel does when memory runs out" if -code == signal.SIGKILL else ""
    return f"the worker process was killed by {name}{hint}"


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # beyond the user's limit for pipes: a small one works too
            fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends
