"""A conda environment.yml, as far as it says what a script's environment holds: which Python, which packages of conda's and of pip's.

Its name, prefix and builds of conda itself are nobody's here. Python and what stands below `pip:` need no conda.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_batchinfer.environments.python_environment import python_faults
from airflow_batchinfer.errors import ConfigError

_KNOWN = ("name", "prefix", "channels", "dependencies", "variables", "platforms")
_NAME = re.compile(r"(?:(?P<channel>[^\s:]+)::)?(?P<name>\w[\w.-]*)\s*(?P<version>.*)", re.DOTALL)
_EXACT = re.compile(r"={0,2}\s*(?P<version>\d+(\.\d+){0,2})(\.?\*)?(=.*)?")
_TOKEN = re.compile(r"/t/[^/\s]+/")
# Every environment has what installs packages; these alone are no reason to have a conda.
_INSTALLERS = ("pip", "setuptools", "wheel")


@dataclass(frozen=True)
class CondaFile:
    """What such a file says. `python` is as PythonEnvironment has it; `packages` are conda's own words, without Python."""

    python: str | None
    packages: tuple[str, ...]
    channels: tuple[str, ...]
    pip: tuple[str, ...]


def read_conda_file(path: Path) -> CondaFile:
    """Read it; one error lists all that is wrong with it."""
    stored = _mapping(path)
    faults = list(_faults(stored))
    if faults:
        raise ConfigError([f"conda_specification: {path}: {fault}" for fault in faults])
    dependencies = stored.get("dependencies") or []
    packages = [" ".join(each.split()) for each in dependencies if isinstance(each, str)]
    named = {text: _name(text) for text in packages}
    python = next(iter(_pythons(dependencies)), None)
    others = tuple(text for text, name in named.items() if name not in ("python", *_INSTALLERS))
    pip = tuple(line for each in dependencies if isinstance(each, Mapping) for line in each["pip"] or ())
    return CondaFile(python, others, tuple(stored.get("channels") or ()), pip)


def _mapping(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        stored = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"conda_specification: there is no file {path}") from error
    except OSError as error:
        raise ConfigError(f"conda_specification: {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"conda_specification: {path} is not YAML: {error}") from error
    if not isinstance(stored, Mapping):
        raise ConfigError(f"conda_specification: {path} holds no dependencies: as a conda environment.yml has them")
    return stored


def _faults(stored: Mapping[str, Any]) -> Iterator[str]:
    if unknown := [name for name in stored if name not in _KNOWN]:
        yield f"{', '.join(map(str, unknown))}: no key of a conda environment.yml; there are {', '.join(_KNOWN)}"
    if stored.get("variables"):
        yield "variables: give them to the script with environment_variables"
    channels, dependencies = stored.get("channels") or [], stored.get("dependencies") or []
    if not isinstance(channels, list) or not all(isinstance(each, str) for each in channels):
        yield f"channels: {channels!r} is not a list of names"
    elif any(_TOKEN.search(each) or "@" in each for each in channels):
        yield "channels: one holds a token or password, which would be stored with the job; let conda know it on each machine (.condarc)"
    if not isinstance(dependencies, list):
        yield f"dependencies: {dependencies!r} is not a list"
        return
    for each in dependencies:
        yield from _dependency_faults(each)
    if len(pythons := _pythons(dependencies)) > 1:
        yield f"dependencies: python is asked for as {' and as '.join(pythons)}: say it once"


def _dependency_faults(dependency: object) -> Iterator[str]:
    if isinstance(dependency, Mapping):
        pip = dependency.get("pip")
        if set(dependency) != {"pip"} or not (pip is None or (isinstance(pip, list) and all(isinstance(line, str) for line in pip))):
            yield f"dependencies: {dependency!r} is neither a package nor 'pip:' with a list of requirements"
    elif not isinstance(dependency, str) or not _name(dependency):
        yield f"dependencies: {dependency!r} is no package, such as numpy=1.26"
    else:
        yield from (f"dependencies: {dependency!r}: {fault}" for said in _pythons([dependency]) for fault in python_faults(said))


def _name(dependency: str) -> str:
    """As conda reads it, in small letters; empty if it is no package."""
    found = _NAME.fullmatch(" ".join(dependency.split()))
    return found["name"].lower() if found else ""


def _pythons(dependencies: Iterable[object]) -> list[str]:
    """The different versions of Python that are asked for."""
    asked = [" ".join(each.split()) for each in dependencies if isinstance(each, str) and _name(each) == "python"]
    found = [_python(_NAME.fullmatch(each)["version"]) for each in asked]  # type: ignore[index]
    return list(dict.fromkeys(filter(None, found)))


def _python(said: str | None) -> str | None:
    """Conda's `=3.11`, `==3.11.4`, `=3.11.*` or `>=3.10` as a version or specifiers."""
    if not said:
        return None
    if exact := _EXACT.fullmatch(said):
        return exact["version"]
    return said.replace(" ", "")
