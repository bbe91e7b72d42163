"""The interpreter that runs a script, and a digest of what a script finds in it.

The digest goes into a job's fingerprint: another Python or another set of packages can change results.
"""

import hashlib
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from airflow_batchinfer.errors import ConfigError

# Runs in the interpreter it describes, so it is plain Python with nothing but the standard library.
_DESCRIBE = """
import os, platform, sys
folders = [entry for entry in sys.path if os.path.isdir(entry)]
found = sorted({name for folder in folders for name in os.listdir(folder) if name.endswith((".dist-info", ".egg-info"))})
print(platform.python_implementation(), platform.python_version(), platform.machine(), *found, sep="\\n")
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python to start workers with; `path` is None for the one that runs the node itself."""

    path: str | None
    digest: str

    @property
    def executable(self) -> str:
        """What to start."""
        return self.path or sys.executable


def own_interpreter() -> Interpreter:
    """The interpreter that this process runs in (Airflow's own, on a node)."""
    folders = [Path(entry) for entry in sys.path if Path(entry).is_dir()]
    found = sorted({item.name for folder in folders for item in folder.iterdir() if item.name.endswith((".dist-info", ".egg-info"))})
    return Interpreter(None, _digest("\n".join((platform.python_implementation(), platform.python_version(), platform.machine(), *found))))


def interpreter_at(path: str) -> Interpreter:
    """An interpreter at a path; it needs nothing of ours installed."""
    try:
        said = subprocess.run([path, "-c", _DESCRIBE], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"the interpreter {path!r} does not run: {error}") from error
    return Interpreter(path, _digest(said.stdout))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
