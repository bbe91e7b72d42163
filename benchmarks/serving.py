"""Servers of S9: started, asked, put to sleep while others are measured, and ended."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import SINGLE_THREADED, run_side_by_side
from benchmarks.places import BENCH, REPOSITORY, fresh_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NUMBERS = 784
START_SECONDS = 60


@dataclass(frozen=True)
class Lap:
    """What the load saw of one server in one go, and what a request cost the server's processes."""

    requests_per_second: float
    failed: int
    p50_ms: float
    p99_ms: float
    cpu_us: float


class Server:
    """One that answers; between laps all its processes are stopped, since some look for requests without pause."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._port = port

    def load(self, connections: int, seconds: float) -> Lap:
        """Ask it so many at once for so long."""
        with self.awake(), fresh_folder() as folder:
            command = [sys.executable, "-m", "benchmarks.load", str(self._port), str(connections), str(seconds), str(_body())]
            before = _cpu_seconds(self._process.pid)
            finished = run_side_by_side([command], {"PYTHONPATH": str(REPOSITORY)}, folder)
            cpu_seconds = _cpu_seconds(self._process.pid) - before
        seen = json.loads(finished.stdout)
        return Lap(**seen, cpu_us=1e6 * cpu_seconds / (seen["requests_per_second"] * seconds))

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it work in between."""
        os.killpg(self._process.pid, signal.SIGCONT)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGSTOP)

    def end(self) -> None:
        """And what it has started."""
        os.killpg(self._process.pid, signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(START_SECONDS)
        finally:
            _kill(self._process.pid)


@contextmanager
def serving(command: Sequence[str | Path], port: int) -> Iterator[Server]:
    """Started, and ended in the end, whatever comes between."""
    environment = {**os.environ, **SINGLE_THREADED, "PYTHONPATH": str(REPOSITORY)}
    with fresh_folder() as folder, (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        server = Server(process, port)
        try:
            with server.awake():
                _wait_until_it_answers(port, process, folder / "server.log")
            yield server
        finally:
            server.end()


def _cpu_seconds(root: int) -> float:
    """Of a process and all below it, until now."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, text = stat.read_text(encoding="utf-8", errors="replace").rpartition(") ")
        except OSError:
            continue  # it has ended
        _, parent, *fields = text.split()
        pid = int(stat.parent.name)
        parents[pid], spent[pid] = int(parent), (int(fields[9]) + int(fields[10])) / os.sysconf("SC_CLK_TCK")
    tree = [root]
    for pid in tree:
        tree += [child for child, parent in parents.items() if parent == pid]
    return sum(spent.get(pid, 0.0) for pid in tree)


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/score", _body().read_bytes(), {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                answer.read()
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server on port {port} does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def _body() -> Path:
    path = BENCH / "body.json"
    if not path.exists():
        BENCH.mkdir(parents=True, exist_ok=True)
        numbers = random.Random(0)  # noqa: S311 - the same numbers each time
        path.write_text(json.dumps({"data": [round(numbers.random(), 5) for _ in range(NUMBERS)]}))
    return path
