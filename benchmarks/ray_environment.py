"""Makes the environment that Ray runs in: its own, so that its dependencies cannot change ours.

Ray's version is pinned here; TensorFlow, NumPy and Pillow are the very versions this interpreter has,
so both sides of S3 compute with the same code.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.places import RAY

if TYPE_CHECKING:
    from pathlib import Path

RAY_VERSION = "2.60.0"


def interpreter() -> Path:
    """The interpreter of Ray's environment, which is made when it is missing or has other versions."""
    python = RAY / "bin" / "python"
    wanted = _requirements()
    made = RAY / "requirements.txt"
    if not made.exists() or made.read_text(encoding="utf-8") != wanted:
        print("making the environment for Ray (about 1 GB the first time)", file=sys.stderr)
        venv.create(RAY, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted.split()], check=True)
        made.write_text(wanted, encoding="utf-8")
    return python


def _requirements() -> str:
    same_as_here = [f"{name}=={version(name)}" for name in ("tensorflow", "numpy", "pillow")]
    return "\n".join([f"ray[data]=={RAY_VERSION}", *same_as_here]) + "\n"
