"""PythonEnvironment: in which Python a script runs. A value: nothing is read, resolved or made here.

What it says is plain (`as_plain`), since Airflow renders nothing else; files that it names are read when a run is planned
(`specification`), and the environment is made by the nodes (`providing`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from typing import Any, Self

from airflow_batchinfer.environments.requirements import line_faults
from airflow_batchinfer.errors import ConfigError

OLDEST_PYTHON = (3, 8)  # whose syntax the worker has
_VERSION = re.compile(r"\d+(\.\d+){0,2}")
_SPECIFIER = r"\s*(~=|==|!=|<=|>=|<|>)\s*\d+(\.\d+)*(\.\*)?\s*"
_SPECIFIERS = re.compile(f"{_SPECIFIER}(,{_SPECIFIER})*")


@dataclass(frozen=True, kw_only=True)
class PythonEnvironment:
    """The packages and the Python of a script, which sees nothing of Airflow's own.

    :param requirements: Lines as in a requirements.txt, or the path of such a file.
    :param python: The version of Python: `3.11`, `3.11.7` or `>=3.10,<3.13`; that of Airflow unless given.
    :param conda_specification: See `from_conda_specification`.
    :param interpreter: See `from_interpreter`.
    """

    requirements: Sequence[str] | str = ()
    python: str | None = None
    conda_specification: str | None = None
    interpreter: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _frozen(getattr(self, field.name)))
        if faults := self.faults():
            raise ConfigError(faults)

    @classmethod
    def from_conda_specification(cls, path: str) -> Self:
        """What a conda environment.yml says.

        :param path: The file. `python` and what stands below `pip:` need no conda; other packages need micromamba, mamba or
            conda on the nodes.
        """
        return cls(conda_specification=path)

    @classmethod
    def from_interpreter(cls, path: str) -> Self:
        """A Python that is installed on the nodes, with its packages.

        :param path: Its absolute path, such as `/opt/venv/bin/python`.
        """
        return cls(interpreter=path)

    @classmethod
    def from_plain(cls, plain: Any) -> Self:  # noqa: ANN401 - whatever was given
        """From its plain form."""
        known = [field.name for field in fields(cls)]
        if not isinstance(plain, Mapping) or not set(plain) <= set(known):
            raise ConfigError(f"environment={plain!r}: give a PythonEnvironment(...); in a file, some of {', '.join(known)}")
        return cls(**plain)

    def as_plain(self) -> dict[str, Any]:
        """What was given, as a dict of text and lists."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value not in (None, ())}

    def faults(self, *, rendered: bool = False) -> list[str]:
        """What is wrong; what looks like a template is only looked at when all is rendered."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        known = {name: value for name, value in values.items() if rendered or not is_template(value)}
        found = [
            *_requirement_faults(known.get("requirements", ()), rendered=rendered),
            *python_faults(known.get("python")),
            *_path_faults("conda_specification", known.get("conda_specification")),
            *_path_faults("interpreter", known.get("interpreter")),
        ]
        given = list(self.as_plain())
        if len(given) > 1 and given != ["requirements", "python"]:
            found.append(f"{' and '.join(given)} are given: give one, since each says all")
        return [f"PythonEnvironment: {fault}" for fault in found]


def is_template(value: object) -> bool:
    """Whether Airflow makes something else of a value before it is used: Jinja, or the output of a task."""
    return hasattr(value, "iter_references") or (isinstance(value, str) and ("{{" in value or "{%" in value))


def dotted(version: Iterable[int]) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


def _frozen(value: object) -> object:
    if isinstance(value, PathLike):
        return str(value)
    return tuple(value) if isinstance(value, list) else value


def _requirement_faults(said: object, *, rendered: bool) -> Iterator[str]:
    if isinstance(said, str) and said and "\0" not in said:
        return
    if not isinstance(said, tuple):
        yield f"requirements={said!r}: give a list of requirements, or the path of a requirements.txt"
        return
    for line in said:
        if isinstance(line, str) and len(line.splitlines()) <= 1:
            yield from line_faults(line) if rendered or not is_template(line) else ()
        elif not is_template(line):
            yield f"requirements: {line!r} is not text of one line, such as 'numpy==1.26.4'"


def python_faults(said: object) -> Iterator[str]:
    """What is wrong with a version of Python."""
    if said is None:
        return
    if not isinstance(said, str) or not (_VERSION.fullmatch(said) or _SPECIFIERS.fullmatch(said)):
        yield f"python={said!r}: give a version as text, such as '3.11', '3.11.7' or '>=3.10,<3.13'"
    elif _VERSION.fullmatch(said):
        version = tuple(map(int, said.split(".")))
        if version < OLDEST_PYTHON[: len(version)]:
            yield f"python={said!r}: a script can run in Python {dotted(OLDEST_PYTHON)} or later"


def _path_faults(name: str, path: object) -> Iterator[str]:
    if path is None:
        return
    if not isinstance(path, str) or not path or "\0" in path:
        yield f"{name}={path!r}: give a path"
    elif name == "interpreter" and not path.startswith("/"):
        yield f"interpreter={path!r}: give an absolute path, since each node looks for it"
