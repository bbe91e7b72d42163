"""The lessons' material, with both of its models trained, made once for all tests of a run: TensorFlow takes seconds to import.

It lies in a folder as in a workspace (see dags/demo/material.py). Tests read it, and copy what they change.
"""

import csv
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "dags" / "demo"
MAKE = "import sys; from pathlib import Path; import material; material.for_all_lessons(Path(sys.argv[1]))"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    # The workers of pytest-xdist have folders of their own, side by side: whoever comes first trains for all.
    workspace = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained"
    with workspace.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not workspace.exists():
            _train(workspace.with_suffix(".unfinished"))
            workspace.with_suffix(".unfinished").rename(workspace)
    return workspace


def _train(workspace: Path) -> None:
    # A process of its own, since TensorFlow must not be loaded where processes are forked.
    command, environment = [sys.executable, "-c", MAKE, str(workspace)], {**os.environ, "PYTHONPATH": str(DEMO)}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert made.returncode == 0, made.stderr


def put_held_out(trained: Path, folder: Path, count: int) -> dict[str, int]:
    """Put images that training never saw into a folder; give the digit of each."""
    with (trained / "truth.csv").open(newline="") as file:
        held_out = [(row["file"], int(row["digit"])) for row in csv.DictReader(file) if row["split"] == "held-out"][:count]
    for name, _ in held_out:
        (folder / name).hardlink_to(trained / "digits" / name)
    return dict(held_out)
