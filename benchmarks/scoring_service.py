"""S9: the scoring service, against FastAPI calling the same function in its own process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.commands import SINGLE_THREADED, run_side_by_side
from benchmarks.pairs import spread
from benchmarks.places import BENCH, ENTRY_SCRIPTS, PROGRAMS, REPOSITORY, fresh_folder
from benchmarks.report import Finding, Reach, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.effort import Effort

LEAST_RATIO = 1.1
CONNECTIONS = 16
NUMBERS = 784
SECONDS = 4.0
FIRST_PORT = 19080
START_SECONDS = 60
SCRIPT = ENTRY_SCRIPTS / "argmax.py"
FASTAPI = "FastAPI, one async worker"


@dataclass(frozen=True)
class Lap:
    """What the load saw of one server in one go."""

    requests_per_second: float
    failed: int
    p50_ms: float
    p99_ms: float


def measure(effort: Effort) -> Finding:
    """Have all servers up, and load one after the other: only one works at a time."""
    sides = {"one replica": _ours(1), "two replicas": _ours(2), FASTAPI: _fastapi()}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(_server(command, FIRST_PORT + n)) for n, (name, command) in enumerate(sides.items())}
        for port in ports.values():
            _load(port)
        rounds = [{name: _load(port) for name, port in ports.items()} for _ in range(effort.pairs)]
    if failed := {name: lap.failed for laps in rounds for name, lap in laps.items() if lap.failed}:
        raise RuntimeError(f"requests failed: {failed}")
    ratios = {name: spread([laps[name].requests_per_second / laps[FASTAPI].requests_per_second for laps in rounds]) for name in sides}
    one = ratios["one replica"]
    return Finding(
        title="S9: the scoring service, against FastAPI",
        compared="`batchinfer serve` with one and with two replicas, and FastAPI under one uvicorn whose `async` route calls the same "
        "`run()` in its own process. All use uvloop and httptools, and none asks for a key. LitServe and Azure ML's inference server "
        "are not measured here: neither installs beside Airflow.",
        method=f"`run()` parses a JSON body of {NUMBERS} floats and gives numpy's argmax. {CONNECTIONS} connections, each of which asks "
        f"again when it has its answer, from a process of its own, for {SECONDS:g} s at each server in turn, {effort.pairs} rounds after "
        "an uncounted one. A router and a replica are two processes and the load is a third: with two cores all three share them.",
        table=Table(
            ("server", "requests/s", "p50, ms", "p99, ms", "ratio"),
            tuple((name, *_columns([laps[name] for laps in rounds]), ratios[name].text() if name != FASTAPI else "1") for name in sides),
        ),
        reaches=(Reach("requests/s with one replica", f">= {LEAST_RATIO} x FastAPI", one.text(), one.median >= LEAST_RATIO),),
    )


def _ours(replicas: int) -> list[str]:
    program = "import sys; from airflow_batchinfer.cli import main; sys.exit(main())"
    options = ["--replicas", str(replicas), "--no-auth", "--max-wait", "10000", "--port"]
    return [sys.executable, "-c", program, "serve", str(SCRIPT), *options]


def _fastapi() -> list[str]:
    return [sys.executable, str(PROGRAMS / "fastapi_program.py")]


@contextmanager
def _server(command: Sequence[str], port: int) -> Iterator[int]:
    """Started, and ended in the end, whatever comes between."""
    environment = {**os.environ, **SINGLE_THREADED}
    with fresh_folder() as folder, (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([*command, str(port)], cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
        try:
            _wait_until_it_answers(port, process, folder / "server.log")
            yield port
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/score", _body().read_bytes(), method="POST")
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                answer.read()
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server on port {port} does not answer:\n{log.read_text(errors='replace')[-2000:]}")


def _load(port: int) -> Lap:
    with fresh_folder() as folder:
        command = [sys.executable, "-m", "benchmarks.load", str(port), str(CONNECTIONS), str(SECONDS), str(_body())]
        finished = run_side_by_side([command], {"PYTHONPATH": str(REPOSITORY)}, folder)
    return Lap(**json.loads(finished.stdout))


def _body() -> Path:
    path = BENCH / "body.json"
    if not path.exists():
        BENCH.mkdir(parents=True, exist_ok=True)
        numbers = random.Random(0)  # noqa: S311 - the same numbers each time
        path.write_text(json.dumps({"data": [round(numbers.random(), 5) for _ in range(NUMBERS)]}))
    return path


def _columns(laps: Sequence[Lap]) -> tuple[str, str, str]:
    rate, p50, p99 = ([getattr(lap, what) for lap in laps] for what in ("requests_per_second", "p50_ms", "p99_ms"))
    return spread(rate).text(0), spread(p50).text(1), spread(p99).text(1)
