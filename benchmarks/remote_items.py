"""S8: items on storage that takes 50 ms to answer, against the same items on local disk."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.commands import run_side_by_side
from benchmarks.laps import Steady, columns_of, read_workers, steady
from benchmarks.pairs import alternate, spread
from benchmarks.places import ENTRY_SCRIPTS, PHOTOS, PROGRAMS, fresh_folder
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import WORKERS, Rows, count_rows, require_same_rows

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.effort import Effort

LEAST_RATIO = 0.8
MINI_BATCH_SIZE = 10
DIFFERENT = 200
WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class Scored:
    """One side's run."""

    steady: Steady
    rows: Rows


def measure(effort: Effort) -> Finding:
    """Compare while both work."""
    folder = photos(effort.photos)
    runs = alternate(lambda: _score(f"slow://{folder}"), lambda: _score(str(folder)), effort.pairs)
    require_same_rows([side for pair in runs for side in pair])
    slow, local = ([side.steady for side in sides] for sides in zip(*runs, strict=True))
    ratio = spread([far.items_per_second / near.items_per_second for far, near in zip(slow, local, strict=True)])
    return Finding(
        title="S8: storage that takes 50 ms for each request",
        compared=f"`batchinfer run --processes {WORKERS}` with itself: the same photos through a storage layer that adds 50 ms to every "
        "request, and where they lie on local disk. Each item takes two requests: is it as planned, and its bytes.",
        method=f"{effort.photos:,} photos of {WIDTH}x{HEIGHT}, {MINI_BATCH_SIZE} to a mini-batch, {effort.pairs} pairs; the script decodes "
        "them and makes them small, with Pillow on one thread. Steady state as in S1. The layer itself "
        "costs no processor time, unlike the libraries of S3 and Azure.",
        table=Table(
            ("items are", "photos/s", "call, us", "gap, us", "ratio"),
            (("50 ms away", *columns_of(slow), ratio.text()), ("here", *columns_of(local), "1")),
        ),
        reaches=(Reach("photos/s", f">= {LEAST_RATIO} x local disk", ratio.text(), ratio.median >= LEAST_RATIO),),
    )


def photos(count: int) -> Path:
    """A folder of so many photos, made when missing; beyond a few they are further names of the first ones."""
    folder = PHOTOS / str(count)
    if not (folder / f"{count - 1:06}.jpg").exists():
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(8)
        for number in range(min(count, DIFFERENT)):
            rough = Image.fromarray(random.integers(0, 255, (24, 32, 3), np.uint8))
            rough.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(folder / f"{number:06}.jpg", quality=90)
        for number in range(DIFFERENT, count):
            (folder / f"{number:06}.jpg").hardlink_to(folder / f"{number % DIFFERENT:06}.jpg")
    return folder


def _score(url: str) -> Scored:
    with fresh_folder() as folder:
        command = [sys.executable, PROGRAMS / "slow_storage.py", "run", ENTRY_SCRIPTS / "thumbnails.py", "--input", url]
        command += ["--output", folder / "output", "--append-row-file-name", "rows.txt", "--processes", str(WORKERS)]
        command += ["--mini-batch-size", str(MINI_BATCH_SIZE), "--workspace", folder / "workspace", "--json"]
        (folder / "laps").mkdir()
        finished = run_side_by_side([command], {"BENCHMARK_LAPS": str(folder / "laps")}, folder)
        summary = json.loads(finished.stdout.splitlines()[-1])
        if summary["items_failed"] or summary["reused"]:
            raise ValueError(f"the run did not score everything afresh: {summary}")
        return Scored(steady(read_workers(folder / "laps"), WORKERS), count_rows([folder / "output" / "rows.txt"]))
