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
from typing import Self

from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import JobFolder

log = logging.getLogger(__name__)

BEAT_SECONDS = 5.0
STALE_SECONDS = 30.0


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
    ended: bool = False
    at: float = 0.0

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Heartbeat":
        """From what is stored."""
        return cls(**json.loads(text))


def own_heartbeat(node: str, run: str, map_index: int, try_number: int) -> Heartbeat:
    """The first heartbeat of this process."""
    return Heartbeat(node, run, map_index, try_number, this_host(), os.getpid(), process_started(os.getpid()) or "")


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


def process_is_gone(heartbeat: Heartbeat) -> bool:
    """Whether this node was a process of this host that exists no more."""
    return heartbeat.host == this_host() and process_started(heartbeat.process) != heartbeat.process_started


class Witness:
    """Watches the heartbeats of others with a clock of its own."""

    def __init__(self, store: Store, folder: JobFolder, own: Heartbeat, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._folder = folder
        self._own = own
        self._clock = clock
        self._seen: dict[str, tuple[Heartbeat | None, float]] = {}

    def observe(self, nodes: Iterable[str]) -> None:
        """Look at these nodes' heartbeats now."""
        for node in nodes:
            heartbeat = read_heartbeat(self._store, self._folder, node)
            last = self._seen.get(node)
            if last is None or _counter(last[0]) != _counter(heartbeat):
                self._seen[node] = (heartbeat, self._clock())

    def is_dead(self, node: str) -> bool:
        """Whether a node seems dead; one never looked at does not."""
        if node not in self._seen:
            return False
        heartbeat, since = self._seen[node]
        if heartbeat and (heartbeat.ended or self._is_earlier_try(heartbeat) or process_is_gone(heartbeat)):
            return True
        return self._clock() - since >= STALE_SECONDS

    def init_failures(self) -> int:
        """How often `init()` failed on the other nodes of our own run."""
        return sum(beat.init_failures for beat, _ in self._seen.values() if beat and beat.run == self._own.run and not beat.ended)

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
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batchinfer-pulse", daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._beat = replace(self._beat, ended=True)
        self._write()

    def say_init_failures(self, count: int) -> None:
        """Let the others know with the next beat."""
        self._beat = replace(self._beat, init_failures=count)

    def _run(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            self._write()

    def _write(self) -> None:
        self._beat = replace(self._beat, counter=self._beat.counter + 1, at=time.time())
        try:
            with self._store.writer(self._folder.heartbeat(self._beat.node)) as stream:
                stream.write(self._beat.to_json())
        except (StorageError, OSError):
            log.warning("a heartbeat could not be written; other nodes may take over what this one does", exc_info=True)
