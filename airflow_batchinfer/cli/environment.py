"""In which Python a script runs, as the command line says it."""

import argparse
import shlex
from pathlib import Path

from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.environments.specification import Specification, specification_of

_FILES = (".txt", ".in")


def specification(options: argparse.Namespace) -> Specification:
    """What a job stores of it; relative paths count from the current folder."""
    given = {
        "requirements": list(map(_line, options.requirements)),
        "python": options.python,
        "conda_specification": options.conda_specification,
        "interpreter": options.interpreter and str(Path(options.interpreter).expanduser().absolute()),
    }
    plain = {name: value for name, value in given.items() if value not in (None, [])}
    return specification_of(PythonEnvironment.from_plain(plain) if plain else None, Path.cwd())


def _line(said: str) -> str:
    return f"--requirement {shlex.quote(said)}" if said.endswith(_FILES) and not said.startswith("-") else said
