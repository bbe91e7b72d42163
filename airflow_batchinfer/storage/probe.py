"""Does a folder keep its word? Asked once before a job is put there, since everything stands on it."""

from uuid import uuid4

from airflow_batchinfer.errors import ConfigError, StorageError
from airflow_batchinfer.storage.store import Store

REMEDY = "Inputs and outputs may stay there; put the workspace on local disk, S3, Azure or GCS"


class _Enough(Exception):
    """What was to be learned is learned."""


def probe(store: Store) -> None:
    """Raise a ConfigError unless create is exclusive, and what was written can be read, replaced, listed and deleted."""
    folder = f".probe-{uuid4().hex}"
    try:
        fault = _fault(store, folder)
        store.delete(folder)
    except (StorageError, OSError) as error:
        raise ConfigError(f"the workspace {store.url} cannot be used: {error}; choose another folder") from error
    if fault:
        raise ConfigError(f"the workspace {store.url} is not safe: {fault}. {REMEDY}")


def probe_output(store: Store) -> None:
    """Raise a ConfigError unless files can be put into a folder: better now than after a night's work."""
    path = f".probe-{uuid4().hex}"
    try:
        with store.writer(path) as stream:
            stream.write(b"probe")
            if store.local_root is not None:
                raise _Enough  # it was taken, and without a name it leaves nothing in the folder, whenever we die
        store.delete(path)
    except _Enough:
        pass
    except (StorageError, OSError, NotImplementedError) as error:
        raise ConfigError(f"the output folder {store.url} cannot be used: {error}") from error


def _fault(store: Store, folder: str) -> str | None:
    path = f"{folder}/file"
    store.create(path, b"first")
    try:
        store.create(path, b"second")
    except FileExistsError:
        pass
    else:
        return "a file was created over one that existed"
    if store.read(path) != b"first":
        return "what was written is not what is read"
    with store.writer(path) as stream:
        stream.write(b"third")
    if store.read(path, 1, 3) != b"hi":
        return "a replaced file still reads as it was"
    if list(store.find(folder)) != [path]:
        return "a file just written is not listed"
    return None
