"""A local folder that appears whole or not at all: it is filled beside its place, and moved there in one step.

Whoever dies in between leaves a hidden folder beside it, never half of it in its place. Nothing that is there already is
replaced, but for an empty folder.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from airflow_batchinfer.errors import ConflictError
from airflow_batchinfer.storage.local import TEMPORARY, explained

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@contextmanager
def landing(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `target` when the block ends well."""
    _require_free(target)
    making = target.with_name(f"{TEMPORARY}{uuid4().hex}")
    with explained(target):
        _make_parents(target)
        making.mkdir()
    try:
        yield making
        with explained(target):
            _move(making, target)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _require_free(target: Path) -> None:
    with explained(target):
        if target.is_dir() and target.samefile(Path.cwd()):
            raise ConflictError(f"{target} is the current folder, which cannot be replaced; give a folder that does not exist yet")
        if os.path.lexists(target) and not (target.is_dir() and not target.is_symlink() and not any(target.iterdir())):
            raise _taken(target)


def _make_parents(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ConflictError(f"{target.parent} is a file, not a folder; choose another folder") from error


def _move(making: Path, target: Path) -> None:
    try:
        making.rename(target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise _taken(target) from error
        raise


def _taken(target: Path) -> ConflictError:
    return ConflictError(f"{target} exists and is not an empty folder; remove it, or choose another")
