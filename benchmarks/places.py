"""Where the benchmarks keep what they make: everything under `build/bench`, which git ignores."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parent.parent
ENTRY_SCRIPTS = REPOSITORY / "benchmarks" / "entry_scripts"
PROGRAMS = REPOSITORY / "benchmarks"
DAGS = REPOSITORY / "benchmarks" / "dags"
DAGS_TO_IMPORT = REPOSITORY / "benchmarks" / "dags_to_import"
REPORT = REPOSITORY / "docs" / "benchmarks.md"

BENCH = REPOSITORY / "build" / "bench"
DIGITS = BENCH / "digits"
MODEL = BENCH / "model"
MILLION = BENCH / "million"
TABLES = BENCH / "tables"
PHOTOS = BENCH / "photos"
RAY = BENCH / "ray"
RESULTS = BENCH / "results"
RUNS = BENCH / "runs"


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A folder for one run: its workspace, output, laps and logs. Gone afterwards."""
    RUNS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=RUNS))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
