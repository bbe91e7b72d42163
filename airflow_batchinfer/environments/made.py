"""The environments of a machine: made once for each content, whoever asks, and then used by all workers of all its nodes.

    <cache>/environments/<digest>/{.lock, ready, <name>/}

An environment is made under a name of its own, while `.lock` is held, and counts only from when `ready` names it. So who is
killed in the midst of it leaves nothing that anybody uses, and the next one begins anew.
"""

import fcntl
import hashlib
import json
import logging
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from airflow_batchinfer.environments.lock import Lock
from airflow_batchinfer.environments.programs import uv
from airflow_batchinfer.environments.pythons import Python
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import ConfigError, StorageError
from airflow_batchinfer.storage import LocalStore
from airflow_batchinfer.storage.local import explained

log = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "BATCHINFER_CACHE"
ENVIRONMENTS = "environments"
_LOCK, _READY = ".lock", "ready"
_BUSY_SECONDS = 1.0


def cache_folder(kind: str, variables: Mapping[str, str] = os.environ) -> Path:
    """Where this machine keeps its environments, or its services; made if it is missing."""
    said = variables.get(ENVIRONMENT_VARIABLE) or os.path.join(variables.get("XDG_CACHE_HOME") or "~/.cache", "batchinfer")
    folder = Path(said) / kind
    try:
        folder = folder.expanduser().absolute()
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, RuntimeError, StorageError) as error:  # a user without a home is a RuntimeError
        raise ConfigError(f"no {kind} can be kept in {folder}: {error}; ${ENVIRONMENT_VARIABLE} says where instead") from error
    return folder


def made(content: object, make: Callable[[Path], None]) -> str:
    """The interpreter of the environment of some content; `make` fills a folder with it where there is none yet."""
    home = cache_folder(ENVIRONMENTS) / digest_of(content)
    if found := _ready(home):
        log.info("The script's environment was made before: %s", found)
        return found
    with explained(home):
        home.mkdir(exist_ok=True)
    with alone(home / _LOCK, "makes the script's environment"):
        if found := _ready(home):
            log.info("The script's environment is made: %s", found)
            return found
        _remove_what_was_left(home)
        return _make(home, make)


def _make(home: Path, make: Callable[[Path], None]) -> str:
    folder = home / uuid4().hex[:8]
    started = time.monotonic()
    try:
        make(folder)
        with LocalStore(home).writer(_READY) as ready:
            ready.write(folder.name.encode())
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    log.info("Made the script's environment in %.1f s: %s", time.monotonic() - started, folder)
    return str(_python(folder))


def make_with_uv(specification: Specification, lock: Lock, python: Python, folder: Path) -> None:
    """Make an environment that sees nothing of another."""
    uv("venv", "--quiet", "--no-project", "--python", python.path, str(folder), doing="no environment can be made")
    install(specification, lock, folder)


def install(specification: Specification, lock: Lock, folder: Path) -> None:
    """Put the packages of the lock, and no others, into an environment."""
    if not lock.requirements:
        return
    asked = folder / "batchinfer-lock.txt"
    with explained(asked):
        asked.write_text("".join(f"{line}\n" for line in (*specification.sources, *lock.requirements)))
    told = "the packages that this job is bound to cannot be installed (a new job, with --no-reuse or allow_reuse=False, resolves anew)"
    how = ("--quiet", "--no-deps", "--compile-bytecode", "--python", str(_python(folder)))
    uv("pip", "install", *how, "--requirements", str(asked), doing=told)


def digest_of(content: object) -> str:
    """Of what an environment holds, and of the machine: another kind of machine needs another one."""
    here = [sys.platform, platform.machine(), *platform.libc_ver()]
    return hashlib.sha256(json.dumps([here, content], sort_keys=True).encode()).hexdigest()[:20]


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Only one process of this machine is in such a block; a lock ends with the process that holds it."""
    with explained(path):
        file = path.open("ab")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("Another process of this machine %s; waiting for it", what)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _ready(home: Path) -> str | None:
    """The interpreter, if it is whole, and the Python below it is still there."""
    try:
        python = _python(home / (home / _READY).read_text())
    except OSError:
        return None
    return str(python) if os.access(python, os.X_OK) else None


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _remove_what_was_left(home: Path) -> None:
    for entry in home.iterdir():
        if entry.is_dir():
            log.info("Removing what is left of an environment that was not finished, or whose Python is gone: %s", entry)
            shutil.rmtree(entry, ignore_errors=True)
