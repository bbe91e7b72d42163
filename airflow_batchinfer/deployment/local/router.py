"""The process that listens for a service and lives as long as it does.

`python -m airflow_batchinfer.deployment.local.router FOLDER SOCKET`, where SOCKET is a descriptor of the socket that listens. What it
is asked comes over `control`. SIGTERM ends it as Ctrl-C ends `batchinfer serve`, and its guardian starts another.
"""

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import uvloop

from airflow_batchinfer.deployment.local.control import Look, answer_each, listening
from airflow_batchinfer.deployment.local.folder import ServiceFolder
from airflow_batchinfer.deployment.local.guardian import start
from airflow_batchinfer.deployment.local.revisions import Revisions
from airflow_batchinfer.deployment.states import Status, state_of
from airflow_batchinfer.deployment.version import VERSION
from airflow_batchinfer.processes import FAREWELL_SECONDS, Showing
from airflow_batchinfer.service.server import Address, Front, Tls

LOG_BYTES = 10 << 20
LOGS_KEPT = 2
LOOK_SECONDS = 1.0
LOOKS_BEFORE_ANOTHER = 5


class Router:
    """See above."""

    def __init__(self, folder: ServiceFolder, sock: socket.socket, showing: Showing) -> None:
        self._folder = folder
        self._sock = sock
        self._uri = folder.read("address.json")["uri"]
        self._showing = showing
        self._front = Front(folder.name, _address(folder), self._show)
        self._revisions = Revisions(folder, self._front, self._show)
        self._stopped = asyncio.Event()
        self._guardian: subprocess.Popen[bytes] | None = None

    async def run(self) -> None:
        """Serve until a signal, or until the service is deleted."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        answering = partial(answer_each, answering=self._answer)
        control = await asyncio.start_unix_server(answering, sock=listening(self._folder.control))
        watching = asyncio.create_task(self._watch_guardian())
        self._revisions.begin()
        waits = [asyncio.create_task(self._revisions.may_listen.wait()), asyncio.create_task(self._stopped.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopped.is_set():
            await self._front.listen(self._sock)
        watching.cancel()
        await self._revisions.close()
        for wait in waits:
            wait.cancel()
        control.close()

    def _stop(self) -> None:
        self._stopped.set()
        self._front.stop()

    def _end(self) -> None:
        """Unlike a second signal, being told to end while it does so hurries nothing."""
        if not self._stopped.is_set():
            self._stop()

    def _answer(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        match asked:
            case {"do": "look"}:
                return self._look()
            case {"do": "status" | "apply" | "rollback"} if self._stopped.is_set():
                raise ConnectionAbortedError("this router ends, and what it is told comes to nothing")
            case {"do": "status"}:
                return self._status().as_plain()
            case {"do": "apply", "revision": int(number)}:
                self._revisions.apply(number)
            case {"do": "rollback"}:
                self._revisions.rollback()
            case {"do": "read keys"}:
                self._revisions.read_keys()
            case {"do": "leave"}:
                asyncio.get_running_loop().call_soon(self._end)
            case {"do": "end"}:
                self._revisions.end()
                asyncio.get_running_loop().call_soon(self._end)
            case _:
                raise ValueError(f"nothing here does {asked!r}")
        return {}

    def _look(self) -> Mapping[str, Any]:
        at_work = self._revisions.looked_at
        if at_work is None:
            return asdict(Look(1.0, 10.0, 3))
        config = at_work.service.config
        return asdict(Look(config.period_seconds, config.timeout_seconds, config.failure_threshold))

    def _status(self) -> Status:
        revisions, course = self._revisions, self._revisions.course
        at_work = revisions.looked_at
        ready, wanted = (at_work.pool.ready, at_work.pool.wanted) if at_work else (0, 0)
        failed = course.failure is not None and course.failure.revision == course.wanted
        changing = revisions.is_changing and not revisions.trouble
        return Status(
            name=self._folder.name,
            state=state_of(is_changing=changing, failed=failed, ready=ready, without_gpu=self._without_gpu()),
            target="local",
            revision=course.good,
            wanted=course.wanted,
            hash=None if course.wanted is None else self._folder.read(f"revisions/{course.wanted}/spec.json")["hash"],
            scoring_uri=self._uri,
            replicas_ready=ready,
            replicas_wanted=wanted,
            detail=self._detail(changing=changing),
            failure=course.failure,
            version=VERSION,
        )

    def _without_gpu(self) -> int:
        """Of the revision that comes up, or else of the one that serves."""
        counted = self._revisions.comes_up or self._revisions.serving
        return counted.pool.unschedulable if counted else 0

    def _detail(self, *, changing: bool) -> str:
        coming, lacking = self._revisions.comes_up, self._without_gpu()
        told = []
        if changing and coming:
            number = self._revisions.coming_number
            told.append(f"revision {number} comes up: {coming.pool.ready} of {coming.pool.wanted} replicas are ready")
        if lacking:
            told.append(f"{lacking} of them find{'s' if lacking == 1 else ''} too few free GPUs")
        return ", ".join(filter(None, [*told, self._revisions.trouble]))

    async def _watch_guardian(self) -> None:
        """Start another when there is none; the first one may be a moment from taking its lock. Without a folder there is no service."""
        missed = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._stopped.is_set():
                return
            if self._folder.router.is_lost:
                self._revisions.abandon()
                self._end()
                return
            if not self._folder.listens_on(self._sock.fileno()):
                self._end()  # its guardian was killed as it started this, and who deployed then made another socket
                return
            if self._guardian and self._guardian.poll() is not None:
                self._guardian = None
            missed = 0 if self._folder.guardian.is_held else missed + 1
            if missed > 1 and (missed - 2) % LOOKS_BEFORE_ANOTHER == 0:
                self._show("the guardian is gone; another is started")
                with suppress(OSError):
                    self._guardian = start("guardian", self._folder, self._sock.fileno())

    def _show(self, line: str) -> None:
        self._showing(0, line)


def _address(folder: ServiceFolder) -> Address:
    known = folder.read("address.json")
    tls = Tls(known["tls_certificate"], known["tls_key"]) if known["tls_certificate"] else None
    return Address(known["host"], known["port"], tls)


def _open_log(folder: ServiceFolder) -> logging.Handler:
    handler = RotatingFileHandler(folder.log, maxBytes=LOG_BYTES, backupCount=LOGS_KEPT, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    return handler


def main(arguments: Sequence[str]) -> None:
    """Route, unless another router does."""
    path, descriptor = arguments
    folder = ServiceFolder(Path(path))
    if not folder.router.take_for_good():
        return
    log = _open_log(folder)

    def show(_: int, line: str) -> None:
        log.handle(logging.makeLogRecord({"msg": line}))

    showing = Showing(show)
    with socket.socket(fileno=int(descriptor)) as sock, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_route(folder, sock, showing))
        finally:
            showing.close(FAREWELL_SECONDS)


async def _route(folder: ServiceFolder, sock: socket.socket, showing: Showing) -> None:
    await Router(folder, sock, showing).run()


if __name__ == "__main__":
    main(sys.argv[1:])
