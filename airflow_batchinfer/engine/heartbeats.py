"""Who seems to be alive: hints, by which a take-over is tried. Nothing depends on their being right.

A node writes a counter; whoever watches it unchanged for 30 s of its own clock takes the node for dead. No clock of
another machine is ever compared with ours. Two things are known at once: a process of this host that is gone, and an
earlier try of our own place in the run.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from airflow_batchinfer.errors import ErrorBudgetSpent, StorageError, UserError
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import JobFolder

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0
# Storage that does not answer must not hold up the end.
FAREWELL_SECONDS = 2.0


@dataclass(frozen=True)
class Heartbeat:
    """What a node says of itself. `at` is for people to read; nothing is decided by it while a job runs."""

    node: str
    run: str
    map_index: int
    try_number: int
    host: str
    process: int
    process_started: str
    counter: int = 0
    init_failures: int = 0
    pinned_at: float = 0.0
    ended: bool = False
    failure: str = ""
    failure_of_the_script: str = ""
    budget_spent: bool = False
    at: float = 0.0

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Heartbeat":
        """From what is stored."""
        return cls(**json.loads(text))


def own_heartbeat(node: str, pin: Pin, map_index: int, try_number: int) -> Heartbeat:
    """The first heartbeat of this process."""
    started = process_started(os.getpid()) or ""
    return Heartbeat(node, pin.path, map_index, try_number, this_host(), os.getpid(), started, pinned_at=pin.pinned_at)


def this_host() -> str:
    """What tells two machines, or two containers, apart: process ids mean something only within one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return os.uname().nodename


def process_started(process: int) -> str | None:
    """When a process of this host was started, in the kernel's own ticks; None if there is none. Process ids come again."""
    try:
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else fields[19].decode()


def read_heartbeat(store: Store, folder: JobFolder, node: str) -> Heartbeat | None:
    """A node's last heartbeat."""
    try:
        return Heartbeat.from_json(store.read(folder.heartbeat(node)))
    except FileNotFoundError:
        return None


def why_nodes_failed(store: Store, folder: JobFolder, pin: Pin) -> UserError | None:
    """Why a node of this run could not go on and nobody else could, as the last that said so said it; None if none did."""
    beats = (read_heartbeat(store, folder, node) for node in store.children(folder.nodes))
    failed = [beat for beat in beats if beat and beat.failure and (beat.run, beat.pinned_at) == (pin.path, pin.pinned_at)]
    if not failed:
        return None
    last = max(failed, key=lambda beat: beat.at)
    return UserError(last.failure, last.failure_of_the_script)


def process_is_gone(heartbeat: Heartbeat) -> bool:
    """Whether this node was a process of this host that exists no more."""
    return heartbeat.host == this_host() and (process_started(heartbeat.process) or "") != heartbeat.process_started


class Sight(NamedTuple):
    """A heartbeat, since when it has stood still, and when it was last looked at."""

    heartbeat: Heartbeat | None
    since: float
    looked: float


class Witness:
    """Watches the heartbeats of others with a clock of its own."""

    def __init__(self, store: Store, folder: JobFolder, own: Heartbeat, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._folder = folder
        self._own = own
        self._clock = clock
        self._seen: dict[str, Sight] = {}

    def observe(self, nodes: Iterable[str]) -> None:
        """Look at these nodes' heartbeats now."""
        for node in nodes:
            heartbeat = read_heartbeat(self._store, self._folder, node)
            now = self._clock()
            last = self._seen.get(node)
            still = last is not None and _counter(last.heartbeat) == _counter(heartbeat)
            self._seen[node] = Sight(heartbeat, last.since if last and still else now, now)

    def is_dead(self, node: str) -> bool:
        """Whether a node seems dead; one never looked at does not, and not looking makes nobody seem so."""
        sight = self._seen.get(node)
        if sight is None:
            return False
        heartbeat = sight.heartbeat
        if heartbeat and (heartbeat.ended or self._is_earlier_try(heartbeat) or process_is_gone(heartbeat)):
            return True
        return sight.looked - sight.since >= STALE_SECONDS

    def is_dead_now(self, node: str) -> bool:
        """Whether a node that seemed dead still does, on looking again."""
        if self.is_dead(node):
            self.observe([node])
        return self.is_dead(node)

    def init_failures(self) -> int:
        """How often `init()` failed on the other nodes of our own run, since it was planned."""
        return sum(beat.init_failures for beat in self._of_our_run())

    def budget_spent(self) -> ErrorBudgetSpent | None:
        """That another node of our own run found too much failed, some of it in a mini-batch that it did not commit."""
        spent = (beat for beat in self._of_our_run() if beat.budget_spent)
        return next((ErrorBudgetSpent(beat.failure, beat.failure_of_the_script) for beat in spent), None)

    def _of_our_run(self) -> list[Heartbeat]:
        own = (self._own.run, self._own.pinned_at)
        beats = [sight.heartbeat for sight in self._seen.values() if sight.heartbeat]
        return [beat for beat in beats if (beat.run, beat.pinned_at) == own]

    def _is_earlier_try(self, other: Heartbeat) -> bool:
        own = self._own
        return other.run == own.run and other.map_index == own.map_index and other.try_number < own.try_number


def _counter(heartbeat: Heartbeat | None) -> int:
    return heartbeat.counter if heartbeat else -1


class Pulse:
    """Writes our heartbeat every few seconds, from a thread of its own so that slow storage elsewhere does not stop it."""

    def __init__(self, store: Store, folder: JobFolder, own: Heartbeat) -> None:
        self._store = store
        self._folder = folder
        self._beat = own
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batchinfer-pulse", daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(FAREWELL_SECONDS)

    def say_init_failures(self, count: int) -> None:
        """Let the others know with the next beat."""
        self._change(init_failures=count)

    def say_failure(self, failure: UserError) -> None:
        """Let merge and the others know, with the last beat, why this node could not go on and why nobody else could."""
        spent = isinstance(failure, ErrorBudgetSpent)
        self._change(failure=failure.told, failure_of_the_script=failure.of_the_script, budget_spent=spent)

    def _run(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self._write()
        self._change(ended=True)
        self._write()

    def _change(self, **what: Any) -> Heartbeat:  # noqa: ANN401 - any field's
        with self._lock:
            self._beat = replace(self._beat, **what)
            return self._beat

    def _write(self) -> None:
        beat = self._change(counter=self._beat.counter + 1, at=time.time())
        try:
            with self._store.writer(self._folder.heartbeat(beat.node)) as stream:
                stream.write(beat.to_json())
        except (StorageError, OSError) as error:
            log.warning("a heartbeat could not be written, so other nodes may take over what this one does: %s", error)
