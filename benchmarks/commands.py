"""Starts commands side by side and reports how long they took and how much memory they held.

Wall time runs from the first start to the last end. Peak memory comes from the operating system's
accounting of the finished process, so it is not sampled and misses nothing.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Command = "Sequence[str | Path]"

# Python, NumPy and TensorFlow on one thread each, in every process of every side.
SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
}


class CommandFailed(Exception):
    """A command of a benchmark ended with an error; what it printed last is in the message."""


@dataclass(frozen=True)
class Finished:
    """When commands started together began, what they cost, and what the first of them printed."""

    started_at: float
    seconds: float
    peak_bytes: int
    stdout: str


def run_side_by_side(commands: Sequence[Command], environment: Mapping[str, str], folder: Path) -> Finished:
    """Start all commands at once, wait for all; any failure is an error."""
    started_at, started = time.time(), time.monotonic()
    processes = [_start(command, environment, folder / f"log{index}") for index, command in enumerate(commands)]
    peaks = [_wait(process, folder / f"log{index}") for index, process in enumerate(processes)]
    seconds = time.monotonic() - started
    return Finished(started_at, seconds, max(peaks), (folder / "log0.out").read_text(encoding="utf-8"))


def _start(command: Command, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
        return subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **SINGLE_THREADED, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )


def _wait(process: subprocess.Popen[bytes], log: Path) -> int:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        said = log.with_suffix(".err").read_text(errors="replace")[-2000:]
        raise CommandFailed(f"{process.args} ended with {process.returncode}: {said}")
    return usage.ru_maxrss * 1024
