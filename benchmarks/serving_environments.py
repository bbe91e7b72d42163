"""Makes the environments of the servers that S9 compares with: their own, for they do not install beside Airflow.

All versions are pinned, NumPy's to the one that this interpreter has.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.places import BENCH, PROGRAMS, REPOSITORY

LITSERVE = PROGRAMS / "litserve_requirements.txt"
INFERENCE_SERVER = REPOSITORY / "tests" / "oracles" / "inference_server_requirements.txt"
PYTHON_VERSION = "3.11"  # the newest that Azure ML's server has wheels for, so both get it


def interpreter(requirements: Path) -> Path:
    """The interpreter of an environment with these packages, which is made when it is missing or has others."""
    folder = BENCH / requirements.stem.removesuffix("_requirements")
    python, made = folder / "bin" / "python", folder / "requirements.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not made.exists() or made.read_text(encoding="utf-8") != wanted:
        print(f"making the environment {folder.name}", file=sys.stderr)
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", PYTHON_VERSION, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "-r", requirements], check=True)
        made.write_text(wanted, encoding="utf-8")
    return python


def version(requirements: Path, name: str) -> str:
    """The version of a package there."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix(f"{name}==") for line in lines if line.startswith(f"{name}=="))
