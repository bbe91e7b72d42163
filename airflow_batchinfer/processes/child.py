"""One child process below its keeper: started with descriptors of its own, killed with all that it left behind, collected.

The child is a fresh interpreter that runs the worker's folder. `alive` is a pipe that its keeper holds and that closes when the
child and everything below it are gone. Who is asked for what, and when a child must die, is decided elsewhere.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_batchinfer import worker as worker_package

PIPE_BYTES = 1 << 20
WORKER_FOLDER = str(Path(worker_package.__file__).parent)
# What we reach storage and Airflow with is not the script's; whoever wants to give it that, gives it by name.
_SECRETS = ("AWS_", "AZURE_", "GOOGLE_", "AIRFLOW_")


@dataclass(frozen=True)
class Launch:
    """How workers are started: with which interpreter, in which folder, with which environment."""

    executable: str
    folder: str
    environment: Mapping[str, str]


class Child:
    """One child process and its keeper."""

    def __init__(self, launch: Launch, extra_environment: Mapping[str, str], output: int, requests: int, replies: int) -> None:
        """Start it; `requests` and `replies` are its ends, which stay the caller's to close."""
        self.alive, alive_end = os.pipe()
        theirs = (requests, replies, alive_end)
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
            os.close(self.alive)
            raise
        finally:
            os.close(alive_end)

    @property
    def pid(self) -> int:
        """Of the keeper."""
        return self._process.pid

    def kill(self) -> None:
        """Have its keeper kill it and everything below it; `alive` closes when that is done."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill_keeper(self) -> None:
        """The last resort, when the keeper itself does not answer."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def collect(self, timeout_seconds: float = 2.0) -> str:
        """Reap the process and close `alive`; say how it ended."""
        try:
            code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill_keeper()
            code = self._process.wait()
        return self._collected(code)

    def collect_if_ended(self) -> str | None:
        """The same for who may not wait: None until it has ended."""
        code = self._process.poll()
        return None if code is None else self._collected(code)

    def _collected(self, code: int) -> str:
        with contextlib.suppress(OSError):
            os.close(self.alive)
        return _describe(code)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """A process's variables without those that are not the script's."""
    return {name: value for name, value in environment.items() if not name.startswith(_SECRETS)}


def pipe() -> tuple[int, int]:
    """A pipe that holds much, where the system lets it."""
    ends = os.pipe()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # beyond the user's limit for pipes: a small one works too
            fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends


def _describe(code: int) -> str:
    if code >= 0:
        return f"the worker process exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = ", as the kernel does when memory runs out" if -code == signal.SIGKILL else ""
    return f"the worker process was killed by {name}{hint}"
