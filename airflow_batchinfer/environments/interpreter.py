"""The interpreter that runs a script, what is installed there, and which variables it must not see.

What is installed goes into a job's fingerprint where the job makes no environment of its own: another Python or another
set of packages can change results.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_batchinfer.environments.python_environment import OLDEST_PYTHON, dotted
from airflow_batchinfer.errors import UnusableEnvironment

# Runs in the interpreter it describes, so it is plain Python with nothing but the standard library.
_DESCRIBE = """
import json, os, platform, sys
folders = [entry for entry in sys.path if os.path.isdir(entry)]
found = sorted({name for folder in folders for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))})
here = [platform.python_implementation(), platform.python_version(), platform.machine()]
print(json.dumps({"version": sys.version_info[:3], "here": here, "found": found}))
"""
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True)
class Interpreter:
    """A Python to start workers with; `path` is None for the one that runs the node itself."""

    path: str | None = None

    @property
    def executable(self) -> str:
        """What to start."""
        return self.path or sys.executable

    def variables(self, own: Mapping[str, str]) -> dict[str, str]:
        """A process's variables as this Python may see them: nothing that leads it to packages of another."""
        if self.path is None:
            return dict(own)
        folder = os.path.dirname(self.path)
        kept = {name: value for name, value in own.items() if name not in _FOREIGN}
        # A user's own site-packages belong to whichever Python of that version looks, and Airflow's image installs Airflow there.
        return {**kept, "PATH": f"{folder}:{own.get('PATH', os.defpath)}", "PYTHONNOUSERSITE": "1"}


@dataclass(frozen=True)
class Description:
    """A Python, looked at."""

    version: tuple[int, ...]
    installed: str


def own_installed() -> str:
    """A digest of what is installed for this process (Airflow's own Python, on a node)."""
    folders = [Path(entry) for entry in sys.path if Path(entry).is_dir()]
    found = sorted({item.name for folder in folders for item in folder.iterdir() if item.name.endswith((".dist-info", ".egg-info"))})
    return _digest([platform.python_implementation(), platform.python_version(), platform.machine(), *found])


def installed_at(path: str) -> str | None:
    """A digest of what is installed for the Python at a path; None where this machine has none that runs."""
    try:
        return describe(path).installed
    except UnusableEnvironment:
        return None


def require_usable(path: str) -> None:
    """Raise if there is no Python at a path that can run a worker."""
    version = describe(path).version
    if version < OLDEST_PYTHON:
        oldest = dotted(OLDEST_PYTHON)
        raise UnusableEnvironment(f"the interpreter {path} is Python {dotted(version)}, and a script can run in Python {oldest} or later")


def describe(path: str) -> Description:
    """Look at the Python at a path; it needs nothing of ours installed."""
    command = [path, "-c", _DESCRIBE]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=Interpreter(path).variables(os.environ))
        told = json.loads(said.stdout)
        return Description(tuple(told["version"]), _digest([*told["here"], *told["found"]]))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        is_none = isinstance(error, ValueError | KeyError | TypeError)
        last = "it is no Python" if is_none else (getattr(error, "stderr", None) or str(error)).strip().rpartition("\n")[2]
        raise UnusableEnvironment(
            f"the interpreter {path!r} does not run on {platform.node()}: {last}: install it there, under that path on every machine"
        ) from error


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
