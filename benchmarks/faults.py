"""A deployed service under steady load, while all is done to it that may befall one: what callers see of that."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.callers import SELDOM
from benchmarks.deployed import Deployed, deployed, end, resident_bytes, until
from benchmarks.overload import overloaded
from benchmarks.places import REPOSITORY, fresh_folder
from benchmarks.seen import Seen, finding_of
from benchmarks.tally import Event, read_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.effort import Effort
    from benchmarks.report import Finding

PATIENCE_MS = 10_000
REPLICAS = 2
CONFIG = {"num_replicas": REPLICAS, "max_request_wait_time": PATIENCE_MS}
LONG_SECONDS = 300.0
WARM_SECONDS = 3.0
END_SECONDS = 60.0
# In this last part of the time no router is killed: its memory is looked at.
LAST_LIFE = 0.6
KEYS = ("primary", "secondary")
SHOWN = 20
FAULT_OF_OURS = "Exception in ASGI application"


class Course:
    """What is done to the service, in turn; each is noted with its times."""

    def __init__(self, service: Deployed, seen: Seen, tell_callers: Callable[[str], None], hold_seconds: float) -> None:
        self._service = service
        self._seen = seen
        self._tell_callers = tell_callers
        self._hold_seconds = hold_seconds
        self._labels = (f"r{number}" for number in itertools.count())
        self._keys = itertools.cycle(((0, KEYS[1]), (1, KEYS[0])))

    def once(self, *, with_routers: bool) -> None:
        """All of it."""
        for _ in range(REPLICAS):
            self._do("a replica is killed", self._kill_a_replica)
        self._update("updated to another revision", **CONFIG)
        self._do("updated to a revision that fails", lambda: self._service.deploy_what_fails(**CONFIG))
        self._do("the guardian is killed", lambda: self._kill(self._service.guardian))
        if with_routers:
            self._end_router("the router is killed", signal.SIGKILL)
        self._update("scaled up to 3 replicas", **CONFIG | {"num_replicas": 3})
        self._update("scaled down to 1 replica", **CONFIG | {"num_replicas": 1})
        self._do("the only replica is killed", self._kill_a_replica)
        self._update("scaled by the load", autoscale_min_replicas=1, autoscale_max_replicas=3, max_request_wait_time=PATIENCE_MS)
        self._do("scaled by the load", lambda: until(lambda: self._service.replicas_ready > 1, END_SECONDS))
        self._update("updated to another revision", **CONFIG)
        self._do("a key is replaced", self._replace_a_key)
        if with_routers:
            self._end_router("the router is told to leave", signal.SIGTERM, of=SELDOM)

    def _kill_a_replica(self) -> None:
        """The oldest."""
        self._kill(next(iter(self._service.replicas), None))

    def _kill(self, pid: int | None) -> None:
        if pid is None:
            raise RuntimeError("there is nobody to kill")
        end(pid)
        self._service.wait_until_whole()

    def _update(self, what: str, **config: object) -> None:
        label = next(self._labels)
        self._do(what, lambda: self._service.deploy(label, **config), becomes=label)

    def _replace_a_key(self) -> None:
        """One that nobody uses; which one that is changes from time to time."""
        used, other = next(self._keys)
        self._tell_callers(self._service.keys[used])
        time.sleep(self._hold_seconds)
        old = self._service.keys[KEYS.index(other)]
        self._service.regenerate(other)
        new = self._service.keys[KEYS.index(other)]
        if (statuses := [self._service.ask(key) for key in (old, new)]) != [401, 200]:
            self._seen.wrong.append(f"the {other} key was replaced; the old and the new one are told {statuses}")

    def _end_router(self, what: str, number: int, of: str | None = None) -> None:
        began = time.monotonic()
        router = self._service.router
        if router is None:
            raise RuntimeError("there is no router to end")
        ends = end(router, number)
        until(lambda: self._service.router not in (None, router), END_SECONDS)
        self._service.wait_until_whole()
        self._note(what, began, ends=ends, of=of)

    def _do(self, what: str, do: Callable[[], None], becomes: str | None = None) -> None:
        began = time.monotonic()
        do()
        self._note(what, began, becomes=becomes)

    def _note(self, what: str, began: float, **more: object) -> None:
        time.sleep(self._hold_seconds)
        self._seen.events.append(Event(what, began, time.monotonic(), **more))


def measure(effort: Effort) -> Finding:
    """Once: that it lasts is the point."""
    with fresh_folder() as folder:
        os.environ["BATCHINFER_CACHE"] = str(folder / "cache")
        seen = run(effort.faults_seconds, folder, secrets.token_hex(4))
    for lost in seen.lost[:SHOWN]:
        print(lost, file=sys.stderr)
    print(*seen.wrong[:SHOWN], sep="\n", file=sys.stderr)
    return finding_of(seen)


def run(seconds: float, folder: Path, seed: str) -> Seen:
    """Have a service under load for so long at least, and do all that, again and again."""
    seen = Seen(seed)
    is_long = seconds >= LONG_SECONDS
    with deployed("loaded", folder, **CONFIG) as service, ExitStack() as stack:
        began = time.monotonic()
        key_file = folder / "key"
        callers = _program(stack, "callers", str(service.port), str(folder / "notes"))
        tell = partial(_tell, callers, key_file)
        tell(service.keys[0])
        hostile = _program(stack, "hostile", str(service.port), seed, str(key_file), str(folder / "found"))
        stack.enter_context(_sampled(service, seen.memory))
        time.sleep(WARM_SECONDS)
        course = Course(service, seen, tell, 2.0 if is_long else 0.3)
        course.once(with_routers=True)
        seen.overload = overloaded(folder, 30.0 if is_long else 4.0)
        while time.monotonic() < began + seconds:
            course.once(with_routers=time.monotonic() < began + seconds * (1 - LAST_LIFE))
        for program in (hostile, callers):
            program.stdin.close()
            if program.wait(2 * END_SECONDS) != 0:
                raise RuntimeError(f"{program.args} ended with {program.returncode}")
        seen.seconds = time.monotonic() - began
        if faults := service.log.count(FAULT_OF_OURS):
            seen.wrong.append(f"the log tells {faults} faults of the router")
    found = json.loads((folder / "found").read_text())
    seen.hostile, seen.notes = found["done"], read_notes(folder / "notes")
    seen.wrong += found["wrong"]
    return seen


def _tell(callers: subprocess.Popen[bytes], key_file: Path, key: str) -> None:
    """Which key is good from now on; whole, since hostile ones may be just reading it."""
    new = key_file.with_suffix(".new")
    new.write_text(key)
    new.replace(key_file)
    callers.stdin.write(f"{key}\n".encode())
    callers.stdin.flush()


def _program(stack: ExitStack, module: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    program = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}))
    stack.callback(program.kill)
    return program


@contextmanager
def _sampled(service: Deployed, memory: list[tuple[float, int, int]]) -> Iterator[None]:
    """The memory of whichever process routes, twice a second."""
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.5):
            router = service.router
            if router and (held := resident_bytes(router)):
                memory.append((time.monotonic(), router, held))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
