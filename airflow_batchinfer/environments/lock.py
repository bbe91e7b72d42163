"""The lock of a job's environment: which versions its script runs with, from which Python. The first node resolves it; it binds the job.

It lies in the job's folder, created exclusively, so that nodes that come later and runs that resume use the same, whatever has
appeared in an index since. It holds no secret: where packages come from is said again by the specification.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from airflow_batchinfer.environments.hashes import held_to, strangers, without
from airflow_batchinfer.environments.programs import uv
from airflow_batchinfer.environments.pythons import Python, find_python
from airflow_batchinfer.environments.requirements import PRE, REQUIRE_HASHES, without_secrets
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import UnusableEnvironment
from airflow_batchinfer.storage import Store


@dataclass(frozen=True)
class Lock:
    """Packages with their versions and hashes, as lines for uv; of conda's packages their addresses; and the minor version of Python."""

    python: str
    requirements: tuple[str, ...]
    conda_packages: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """As the job holds it; to be read by people too."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """From `to_json`'s text."""
        stored = json.loads(text)
        return cls(stored["python"], tuple(stored["requirements"]), tuple(stored["conda_packages"]))


def stored_lock(store: Store, path: str) -> Lock | None:
    """The lock that binds, if there is one."""
    try:
        return Lock.from_json(store.read(path))
    except FileNotFoundError:
        return None


def bind(store: Store, path: str, resolve: Callable[[], Lock]) -> Lock:
    """The lock that binds: ours, unless another node was faster."""
    if found := stored_lock(store, path):
        return found
    lock = resolve()
    try:
        store.create(path, lock.to_json())
    except FileExistsError:
        return Lock.from_json(store.read(path))
    return lock


def resolve(specification: Specification) -> Lock:
    """Which versions fit together now, as uv finds them."""
    python = find_python(specification.python or "")
    with tempfile.TemporaryDirectory(prefix="batchinfer-lock-") as folder:
        return Lock(python.minor, compiled(specification, specification.constraints, python, Path(folder)))


def compiled(specification: Specification, constraints: tuple[str, ...], python: Python, folder: Path) -> tuple[str, ...]:
    """Uv's resolution for a Python, with hashes: those that were asked for, else the index's."""
    if not specification.requirements:
        return ()
    asked, bounds, answer = folder / "requirements.txt", folder / "constraints.txt", folder / "lock.txt"
    asked.write_text("".join(f"{line}\n" for line in (*specification.sources, *specification.requirements)))
    bounds.write_text("".join(f"{line}\n" for line in constraints))
    early = ("--prerelease", "allow") if PRE in specification.options else ()
    form = (*early, "--quiet", "--no-header", "--no-annotate", "--generate-hashes", "--no-strip-extras")
    files = (str(asked), "--constraints", str(bounds), "--output-file", str(answer))
    told = f"the requirements of the script's environment cannot be resolved for Python {python.minor} ({sys.platform})"
    uv("pip", "compile", *form, "--python", python.path, *files, doing=told)
    lines = tuple(line for line in answer.read_text().replace("\\\n", " ").splitlines() if line.strip())
    if any(without_secrets(line) != line for line in lines):
        raise UnusableEnvironment(
            "a package is asked for by an address that holds a secret, which would be stored with the job: write ${NAME} in its place"
        )
    locked = tuple(" ".join(line.split()) for line in lines)
    held = (*specification.requirements, *constraints)
    if others := ", ".join(strangers(locked, held)):
        raise UnusableEnvironment(
            f"{told}: no file of {others} has a hash that the requirements name: correct these, or ask what was changed"
        )
    if REQUIRE_HASHES in specification.options and (others := ", ".join(without(locked, held))):
        raise UnusableEnvironment(f"{told}: {REQUIRE_HASHES} is said, and there is no --hash for {others}")
    return held_to(locked, held)
