"""Files that scripts write themselves: kept in the job's folder by worker, and put into the output folder by merge.

They are at least once: a script that is stopped halfway may have written some, and is run again. Where the workspace is
on this machine's disk the scripts write into the job's folder directly; elsewhere new files are uploaded before a commit.
"""

import hashlib
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from airflow_batchinfer.errors import ConflictError
from airflow_batchinfer.storage import LocalStore, Store, copy_file
from airflow_batchinfer.workspace import JobFolder

# File systems stamp files with a clock that may lag a little behind ours.
CLOCK_NS = 2_000_000_000


class FileUploads:
    """Uploads what is new or changed below a local folder, each time it is called."""

    def __init__(self, store: Store, folder: JobFolder, files: Path) -> None:
        self._store = store
        self._folder = folder
        self._files = files
        self._looked_at = 0

    def __call__(self) -> None:
        source = LocalStore(self._files)
        began = time.time_ns()
        for path in source.find(""):
            with suppress(FileNotFoundError):  # renamed or removed meanwhile: scripts write in many ways
                if (self._files / path).stat().st_mtime_ns >= self._looked_at:
                    copy_file(source, path, self._store, f"{self._folder.files}/{path}")
        self._looked_at = began - CLOCK_NS


def publish_files(store: Store, folder: JobFolder, output: Store, taken: Collection[str]) -> None:
    """Copy every worker's files into the output folder, all of them or, if two want one name, none."""
    origins: dict[str, str] = {}
    for path in store.find(folder.files):
        worker, _, name = path.removeprefix(f"{folder.files}/").partition("/")
        if name in taken:
            raise ConflictError(f"the script wrote a file {name!r}, the name of a file that the engine writes there; let it choose another")
        other = origins.setdefault(name, path)
        if other != path and _digest(store, other) != _digest(store, path):
            first = other.removeprefix(f"{folder.files}/").partition("/")[0]
            raise ConflictError(f"two workers, {first} and {worker}, wrote different files named {name!r}; put the process id in the name")
    for name, path in origins.items():
        copy_file(store, path, output, name)


def _digest(store: Store, path: str) -> str:
    with store.open(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # typeshed asks for more than is used
