"""The Pythons of a machine, as uv finds them: the node's own where that will do, else one that is installed or that uv downloads."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_batchinfer.environments.interpreter import describe
from airflow_batchinfer.environments.programs import uv
from airflow_batchinfer.environments.python_environment import OLDEST_PYTHON, dotted
from airflow_batchinfer.errors import UnusableEnvironment

_REMEDY = "install that Python on every machine, let uv download it (UV_PYTHON_DOWNLOADS, UV_PYTHON_INSTALL_MIRROR), or ask for another"


@dataclass(frozen=True)
class Python:
    """A Python of this machine."""

    path: str
    version: tuple[int, ...]

    @property
    def minor(self) -> str:
        """As `3.11`."""
        return dotted(self.version[:2])


def find_python(wanted: str) -> Python:
    """A Python of a version, or within specifiers."""
    if fits(wanted, sys.version_info[:3]):
        return Python(sys.executable, sys.version_info[:3])
    doing = f"the script's environment asks for Python {wanted}, which is not on {os.uname().nodename}: {_REMEDY}"
    try:
        path = _installed(wanted, doing)
    except UnusableEnvironment:
        uv("python", "install", wanted, doing=doing)
        path = _installed(wanted, doing)
    version = describe(path).version
    if version < OLDEST_PYTHON:
        oldest = dotted(OLDEST_PYTHON)
        raise UnusableEnvironment(
            f"Python {wanted}: uv found {path}, but a script can run in Python {oldest} or later: say python>={oldest}"
        )
    return Python(path, version)


def _installed(wanted: str, doing: str) -> str:
    return uv("python", "find", "--system", "--no-python-downloads", wanted, doing=doing).strip()


def fits(wanted: str, version: Sequence[int]) -> bool:
    """Whether a version is what is wanted: `3.11` is any 3.11."""
    if wanted[0].isdigit():
        parts = [int(part) for part in wanted.split(".")]
        return list(version[: len(parts)]) == parts
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(dotted(version))


def narrowed(wanted: str, minor: str) -> str:
    """What is wanted, within a minor version: specifiers leave a choice that a lock has made."""
    if wanted[0].isdigit():
        return wanted if "." in wanted else minor
    return f"{wanted},=={minor}.*"
