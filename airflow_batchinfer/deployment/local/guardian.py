"""The process above a router: it starts it, looks whether it answers, and starts another when it does not.

`python -m airflow_batchinfer.deployment.local.guardian FOLDER SOCKET`, where SOCKET is a descriptor of the socket that listens. It
loads nothing of the service, so there is little in it that could fail.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from airflow_batchinfer.deployment.local.control import Look, ask_on, connected
from airflow_batchinfer.deployment.local.folder import ServiceFolder
from airflow_batchinfer.errors import BatchInferError
from airflow_batchinfer.processes import without_secrets
from airflow_batchinfer.service.restarts import Restarts

FIRST_ANSWER_SECONDS = 60.0
LOOK_SECONDS = 0.05


def start(module: str, folder: ServiceFolder, descriptor: int) -> "subprocess.Popen[bytes]":
    """A process of this service, in a session of its own, that sees of us only the socket; what it prints goes to the log."""
    with folder.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", f"airflow_batchinfer.deployment.local.{module}", str(folder.path), str(descriptor)],
            cwd="/",
            env={name: value for name, value in without_secrets(os.environ).items() if not name.startswith("_AIRFLOW_")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[descriptor],
            start_new_session=True,
        )


class Guardian:
    """See above. It ends when the service is to end and its router has."""

    def __init__(self, folder: ServiceFolder, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor
        self._restarts = Restarts()
        self._router: subprocess.Popen[bytes] | None = None

    def work(self) -> None:
        """Keep a router alive."""
        while self._is_wanted():
            began = time.monotonic()
            if not self._folder.router.is_held:
                self._router = start("router", self._folder, self._descriptor)
            self._watch()
            self._collect()
            if self._is_wanted():
                time.sleep(self._restarts.pause_seconds(0, time.monotonic() - began))

    def _is_wanted(self) -> bool:
        try:
            if self._folder.guardian.is_lost or not self._folder.listens_on(self._descriptor):
                return False
            return self._folder.course.wanted is not None
        except FileNotFoundError:
            return False

    def _watch(self) -> None:
        """Until the router has ended, or does not answer any more."""
        deadline = time.monotonic() + FIRST_ANSWER_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), connected(self._folder.control, FIRST_ANSWER_SECONDS) as connection:
                self._look_again_and_again(connection)
                return
            if self._router and self._router.poll() is not None:
                return
            time.sleep(LOOK_SECONDS)
        self._kill()

    def _look_again_and_again(self, connection: socket.socket) -> None:
        look = Look(1.0, FIRST_ANSWER_SECONDS, 1)
        missed = 0
        while missed < look.most_missed:
            connection.settimeout(look.patience_seconds)
            try:
                look, missed = Look(**ask_on(connection, {"do": "look"})), 0
            except TimeoutError:
                missed += 1
                continue
            except (OSError, BatchInferError):
                return
            select.select([connection], [], [], look.period_seconds)  # readable when it has ended
        self._kill()

    def _kill(self) -> None:
        """It hangs: its replicas end with it."""
        if holder := self._folder.router.holder():
            with suppress(ProcessLookupError, KeyError):
                os.kill(holder["pid"], signal.SIGKILL)

    def _collect(self) -> None:
        """Wait until it is gone, with what lives below it."""
        if self._router:
            self._router.wait()
            self._router = None
        while self._folder.router.is_held:
            time.sleep(LOOK_SECONDS)


def main(arguments: Sequence[str]) -> None:
    """Leave whoever started us, and guard, unless another guardian does."""
    path, descriptor = arguments
    if os.fork():
        os._exit(0)
    folder = ServiceFolder(Path(path))
    with suppress(FileNotFoundError):  # deleted meanwhile
        if folder.guardian.take_for_good():
            Guardian(folder, int(descriptor)).work()


if __name__ == "__main__":
    main(sys.argv[1:])
