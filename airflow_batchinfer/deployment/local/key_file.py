"""The two keys of a service, in a file that only its owner reads, and those of a revision that count from when it serves.

A key that makes no sense is none: another is made in its place when the keys are written next. None is ever shown or logged.
"""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from airflow_batchinfer.deployment.spec import GivenKeys
from airflow_batchinfer.service.config import key_fault
from airflow_batchinfer.service.keys import MOST_KEYS
from airflow_batchinfer.storage.local import explained

KEY_BYTES = 32


def good_keys(path: Path) -> list[str]:
    """Those that the file holds."""
    return [key for key in _lines(path) if not key_fault(key)][:MOST_KEYS]


def replace_key(path: Path, which: int, key: str | None) -> None:
    """Another key in the place of one; a new one unless it is given."""
    keys = _two(path)
    keys[which] = key or _new()
    _write(path, keys)


def set_keys(path: Path, given: GivenKeys, later: Path) -> None:
    """A service without two keys has some at once; for others those that are given are kept aside until `take`."""
    asked = (given.primary, given.secondary)
    known = good_keys(path)
    if len(known) < MOST_KEYS:
        _write(path, _merged(asked, _two(path)))
    elif _merged(asked, known) != known:
        _write(later, [key or "" for key in asked])


def take(later: Path, path: Path) -> bool:
    """Let what was kept aside count, and leave what was not given as it is now; whether there was something."""
    if not later.exists():
        return False
    _write(path, _merged(_lines(later), _two(path)))
    later.unlink()
    return True


def _merged(asked: Sequence[str | None], known: Sequence[str]) -> list[str]:
    return [key or old for key, old in zip(asked, known, strict=True)]


def _two(path: Path) -> list[str]:
    good = good_keys(path)
    return [*good, *(_new() for _ in range(MOST_KEYS - len(good)))]


def _new() -> str:
    return secrets.token_hex(KEY_BYTES)


def _lines(path: Path) -> list[str]:
    with suppress(FileNotFoundError), explained(path):
        return path.read_text("utf-8", "replace").split("\n")[:MOST_KEYS]
    return []


def _write(path: Path, keys: Sequence[str]) -> None:
    making = path.with_name(f".{uuid4().hex}")
    try:
        with explained(path), os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("".join(f"{key}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
            making.replace(path)
    finally:
        making.unlink(missing_ok=True)
