"""What a job stores of its script's environment, and its fingerprint covers: everything that files and defaults said when it was
planned, so that no node needs them. Which versions come of it is not decided here but by the job's lock.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from airflow_batchinfer.environments.interpreter import installed_at, own_installed
from airflow_batchinfer.environments.python_environment import PythonEnvironment, is_template
from airflow_batchinfer.environments.requirements import PRE, REQUIRE_HASHES, Requirements, read_requirements
from airflow_batchinfer.errors import ConfigError


@dataclass(frozen=True)
class Specification:
    """Airflow's own Python, with a digest of what is installed there; or another that is there; or, with `python`, one to be made."""

    installed: str = ""
    interpreter: str | None = None
    python: str | None = None
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    conda_packages: tuple[str, ...] = ()
    conda_channels: tuple[str, ...] = ()

    @property
    def is_made(self) -> bool:
        """Whether the nodes make it."""
        return self.python is not None

    @property
    def sources(self) -> tuple[str, ...]:
        """The options as uv has them in a file: where packages come from, and in which form."""
        return tuple(option for option in self.options if option not in (PRE, REQUIRE_HASHES))

    def to_json(self) -> str:
        """The same text for the same specification."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From `to_json`'s text."""
        stored: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()}
        return cls(**stored)


def specification_of(environment: PythonEnvironment | None, folder: Path) -> Specification:
    """What an environment is now; relative paths count from `folder`. A Python that only the nodes have is looked at there."""
    if environment is None:
        return Specification(installed=own_installed())
    if faults := environment.faults(rendered=True):
        raise ConfigError(faults)
    if path := environment.interpreter:
        return Specification(installed=installed_at(path) or "", interpreter=path)
    own_python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if environment.conda_specification is not None:
        return _of_conda(folder / Path(environment.conda_specification).expanduser(), own_python)
    return _specified(environment.python or own_python, read_requirements(environment.requirements, folder))


def check_files(environment: PythonEnvironment, folder: Path) -> None:
    """Raise if a file is missing or wrong, as far as that is known before a run and costs nothing."""
    path = environment.conda_specification
    if path is not None and not is_template(path) and not (folder / Path(path).expanduser()).is_file():
        raise ConfigError(f"conda_specification={path!r}: there is no file {folder / path}")
    requirements = environment.requirements
    if not is_template(requirements) and (isinstance(requirements, str) or not any(map(is_template, requirements))):
        read_requirements(requirements, folder)


def _of_conda(path: Path, own_python: str) -> Specification:
    from airflow_batchinfer.environments.conda_file import read_conda_file

    found = read_conda_file(path)
    pip = read_requirements(found.pip, path.parent)
    return _specified(found.python or own_python, pip, found.packages, found.channels if found.packages else ())


def _specified(
    python: str, requirements: Requirements, conda_packages: tuple[str, ...] = (), conda_channels: tuple[str, ...] = ()
) -> Specification:
    return Specification(
        python=python,
        requirements=requirements.packages,
        constraints=requirements.constraints,
        options=requirements.options,
        conda_packages=conda_packages,
        conda_channels=conda_channels,
    )
