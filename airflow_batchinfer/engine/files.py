"""Files that scripts write themselves: kept in the job's folder by worker, and put into the output folder by merge.

They are at least once: a script that is stopped halfway may have written some, and is run again. Where the workspace is
on this machine's disk the scripts write into the job's folder directly; elsewhere new files are uploaded before a commit.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path

from airflow_batchinfer.errors import ConflictError
from airflow_batchinfer.storage import LocalStore, Store, copy_file
from airflow_batchinfer.workspace import JobFolder


class FileUploads:
    """Uploads what is new or changed below a local folder, each time it is called."""

    def __init__(self, store: Store, folder: JobFolder, files: Path) -> None:
        self._store = store
        self._folder = folder
        self._files = files
        self._uploaded: dict[str, tuple[int, int]] = {}

    def __call__(self) -> None:
        source = LocalStore(self._files)
        for path in source.find(""):
            status = (self._files / path).stat()
            version = (status.st_size, status.st_mtime_ns)
            if self._uploaded.get(path) != version:
                copy_file(source, path, self._store, f"{self._folder.files}/{path}")
                self._uploaded[path] = version


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
