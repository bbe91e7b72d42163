"""What docker-compose.yaml says, as values: which services there are, and what each of them runs. It starts nothing.

Of Compose's language only what that file uses is understood, and anything else is an error: what is tested is then what it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[3] / "docker-compose.yaml"
_UNDERSTOOD = {"image", "build", "command", "environment", "volumes", "ports", "healthcheck", "depends_on", "restart", "deploy"}
# All profiles are started, and machines are killed without grace.
_UNDERSTOOD |= {"profiles", "stop_grace_period"}


@dataclass(frozen=True)
class Service:
    name: str
    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    restart: str
    volumes: Sequence[tuple[str, str]]
    """Where each is mounted, after what is."""
    ports: Sequence[int]
    """Those that are published; each has the same number inside and outside."""
    depends_on: Mapping[str, str] = field(default_factory=dict)
    health_command: Sequence[str] = ()


def read(file: Path = FILE) -> dict[str, Service]:
    """The services by their names, in the file's order."""
    return {name: _service(name, said) for name, said in yaml.safe_load(file.read_text())["services"].items()}


def _service(name: str, said: Mapping[str, Any]) -> Service:
    if unknown := set(said) - _UNDERSTOOD:
        raise ValueError(f"the service {name} says {', '.join(sorted(unknown))}, which the cluster of the tests does not understand")
    return Service(
        name,
        said["image"],
        [_unescaped(word) for word in said["command"]],
        {key: _unescaped(value) for key, value in said.get("environment", {}).items()},
        said["restart"],
        [_mount(volume) for volume in said.get("volumes", ())],
        [_port(port) for port in said.get("ports", ())],
        {of: how["condition"] for of, how in said.get("depends_on", {}).items()},
        _health_command(said.get("healthcheck", {}).get("test", ())),
    )


def _unescaped(text: str) -> str:
    """Compose reads `$$` as `$`, and replaces what follows a single one."""
    if "$" in text.replace("$$", ""):
        raise ValueError(f"{text!r} has a variable, which the cluster of the tests does not replace")
    return text.replace("$$", "$")


def _mount(volume: str) -> tuple[str, str]:
    source, target = volume.split(":")[:2]
    return source, target


def _port(port: str) -> int:
    _, outside, inside = port.split(":")
    if outside != inside:
        raise ValueError(f"the port {port} has another number inside than outside")
    return int(inside)


def _health_command(test: Sequence[str]) -> Sequence[str]:
    if not test:
        return ()
    how, *words = map(_unescaped, test)
    return ["sh", "-c", *words] if how == "CMD-SHELL" else words
