"""S9: the scoring service, against FastAPI calling the same function in its own process, LitServe, and Azure ML's inference server."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.pairs import Spread, spread
from benchmarks.places import ENTRY_SCRIPTS, PROGRAMS
from benchmarks.report import Finding, Reach, Table
from benchmarks.serving import NUMBERS, Lap, serving
from benchmarks.serving_environments import INFERENCE_SERVER, LITSERVE, interpreter, version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.effort import Effort
    from benchmarks.serving import Server

LEAST_TO_FASTAPI = 1.1
LEAST_TO_OTHERS = 4.0
LEAST_ALONE = 0.95
CONNECTIONS, MANY, ONE = 16, 64, 1
SECONDS, WARM_SECONDS = 2.0, 0.5
FIRST_PORT = 19080
OURS = "`batchinfer serve`"
FASTAPI, LITSERVE_NAME, AZURE = "FastAPI", "LitServe", "Azure ML's inference server"
BATCHED, LITSERVE_BATCHED = f"{OURS}, in batches", f"{LITSERVE_NAME}, in batches"


@dataclass(frozen=True)
class Load:
    """What is asked of which servers; of each its name and its command, by its port."""

    what: str
    connections: Sequence[int]
    sides: Mapping[str, Callable[[int], list[str | Path]]]


Laps = dict[tuple[str, int], list[Lap]]


def measure(effort: Effort) -> Finding:
    """All servers of a load are up, and one after the other is asked; the others sleep."""
    one, two, batches = _plain(1), _plain(2), _batches()
    laps_of_one, laps_of_two = (_measure(load, rounds) for load, rounds in ((one, effort.pairs), (two, _fewer(effort.pairs))))
    laps_of_batches = _measure(batches, _fewer(effort.pairs))
    found = ((one, laps_of_one), (two, laps_of_two), (batches, laps_of_batches))
    return Finding(
        title="S9: the scoring service, against FastAPI, LitServe and Azure ML's inference server",
        compared=_compared(),
        method=_method(effort.pairs, _fewer(effort.pairs)),
        table=Table(
            ("script", "connections", "replicas", "server", "requests/s", "p50, ms", "p99, ms", "CPU, us each", "ratio"),
            tuple(row for load, laps in found for row in _rows(load, laps)),
        ),
        reaches=_reaches(laps_of_one, laps_of_batches),
    )


def _fewer(rounds: int) -> int:
    return max(1, rounds - 2)


def _compared() -> str:
    litserve, azure = version(LITSERVE, "litserve"), version(INFERENCE_SERVER, "azureml-inference-server-http")
    return (
        "`batchinfer serve`; FastAPI under uvicorn, whose `async` route calls the same `run()` in its own process; LitServe "
        f"{litserve} and `azureml-inference-server-http` {azure}, each in an environment of its own with the same NumPy. None asks for "
        "a key, and none writes an access log but Azure's, which always does. All but Azure's use uvloop and httptools. LitServe parses "
        "the body itself, and has its default queue: `fast_queue` was no faster. Azure's closes the connection after each answer, so it is "
        "connected to anew for each request."
    )


def _method(rounds: int, fewer: int) -> str:
    return (
        f"*argmax*: `run()` parses a JSON body of {NUMBERS} floats and gives numpy's argmax. *network*: it gives what a network of "
        "784-4096-4096-10 says of them, in numpy on one thread; its 80 MB of weights are read once for a request, or once for a batch. "
        f"*In batches* is `run_batch` with `--max-concurrent {MANY}`, and `max_batch_size={MANY}` with LitServe, whose `batch_timeout` of "
        "0, its default, was the best of 0, 1 ms and 10 ms. Each connection asks again when it has its answer, from a process of its own, "
        f"for {SECONDS:g} s at each server in turn, in {rounds} rounds (two replicas, network: {fewer}) after an uncounted one; the others "
        "sleep. A router and a replica are two processes and the load is a third: with two cores all share them. *CPU* is what the "
        "server's processes spent, which depends least on what else runs. A ratio is to FastAPI with as many workers, "
        "under the same load, in the same round."
    )


def _plain(replicas: int) -> Load:
    script = ENTRY_SCRIPTS / "argmax.py"
    sides = {
        OURS: _ours(script, "--replicas", str(replicas)),
        FASTAPI: _fastapi(script, replicas),
        LITSERVE_NAME: _litserve(script, replicas, 1),
        AZURE: _azure(script, replicas),
    }
    return Load(f"argmax | {replicas}", [CONNECTIONS], sides)


def _batches() -> Load:
    script = ENTRY_SCRIPTS / "network.py"
    sides = {
        OURS: _ours(script),
        BATCHED: _ours(script, "--max-concurrent", str(MANY)),
        FASTAPI: _fastapi(script, 1),
        LITSERVE_NAME: _litserve(script, 1, 1),
        LITSERVE_BATCHED: _litserve(script, 1, MANY),
    }
    return Load("network | 1", [ONE, MANY], sides)


def _measure(load: Load, rounds: int) -> Laps:
    with ExitStack() as stack:
        servers: dict[str, Server] = {
            name: stack.enter_context(serving(command(FIRST_PORT + n), FIRST_PORT + n))
            for n, (name, command) in enumerate(load.sides.items())
        }
        for server in servers.values():
            server.load(max(load.connections), WARM_SECONDS)
        laps: Laps = {(name, connections): [] for connections in load.connections for name in servers}
        for _ in range(rounds):
            for (name, connections), seen in laps.items():
                seen.append(servers[name].load(connections, SECONDS))
    if failed := {name: [lap.failed for lap in seen] for name, seen in laps.items() if any(lap.failed for lap in seen)}:
        raise RuntimeError(f"requests failed: {failed}")
    return laps


def _ratio(laps: Laps, one: str, other: str, connections: int) -> Spread:
    pairs = zip(laps[one, connections], laps[other, connections], strict=True)
    return spread([mine.requests_per_second / theirs.requests_per_second for mine, theirs in pairs])


def _rows(load: Load, laps: Laps) -> list[tuple[str, ...]]:
    script, _, replicas = load.what.partition(" | ")
    return [
        (
            script,
            str(connections),
            replicas,
            name,
            *_columns(seen),
            _ratio(laps, name, FASTAPI, connections).text() if name != FASTAPI else "1",
        )
        for (name, connections), seen in laps.items()
    ]


def _columns(laps: Sequence[Lap]) -> tuple[str, ...]:
    digits = {"requests_per_second": 0, "p50_ms": 1, "p99_ms": 1, "cpu_us": 0}
    return tuple(spread([getattr(lap, what) for lap in laps]).text(places) for what, places in digits.items())


def _reaches(plain: Laps, batches: Laps) -> tuple[Reach, ...]:
    def reach(what: str, wanted: str, ratio: Spread, least: float) -> Reach:
        return Reach(what, f">= {least} x {wanted}", ratio.text(), ratio.median >= least)

    return (
        *(
            reach("argmax, one replica", name, _ratio(plain, OURS, name, CONNECTIONS), least)
            for name, least in ((FASTAPI, LEAST_TO_FASTAPI), (LITSERVE_NAME, LEAST_TO_OTHERS), (AZURE, LEAST_TO_OTHERS))
        ),
        reach(f"network in batches, {MANY} connections", "without", _ratio(batches, BATCHED, OURS, MANY), 1.0),
        reach("network in batches, one connection", "without", _ratio(batches, BATCHED, OURS, ONE), LEAST_ALONE),
    )


def _ours(script: Path, *options: str) -> Callable[[int], list[str | Path]]:
    program = "import sys; from airflow_batchinfer.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", script, "--no-auth", "--max-wait", "10000", *options]
    return lambda port: [*command, "--port", str(port)]


def _fastapi(script: Path, workers: int) -> Callable[[int], list[str | Path]]:
    return lambda port: [sys.executable, PROGRAMS / "fastapi_program.py", script.stem, str(port), str(workers)]


def _litserve(script: Path, workers: int, most: int) -> Callable[[int], list[str | Path]]:
    python = interpreter(LITSERVE)
    return lambda port: [python, PROGRAMS / "litserve_program.py", script.stem, str(port), str(workers), str(most)]


def _azure(script: Path, workers: int) -> Callable[[int], list[str | Path]]:
    command = [
        interpreter(INFERENCE_SERVER),
        "-m",
        "azureml_inference_server_http",
        "--entry_script",
        script,
        "--worker_count",
        str(workers),
    ]
    return lambda port: [*command, "--port", str(port)]
