"""From a path that a user gives to files on this machine's disk, in the layout in which they are registered.

A file or a folder is registered under its own name; an archive as what is in it, without a folder of its name. What had
to be brought or unpacked lies in a temporary folder that is gone when the block ends.
"""

import hashlib
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.registry.archives import is_archive, unpack
from airflow_batchinfer.registry.downloads import download, without_secrets
from airflow_batchinfer.storage import LocalStore, is_local, local_path
from airflow_batchinfer.storage.local import explained

PREFIX = "batchinfer-model-"


@dataclass(frozen=True)
class Content:
    """The files of a model, in order, in a folder of this machine; the digest covers their names and what is in them."""

    store: LocalStore
    files: tuple[str, ...]
    digest: str
    size_bytes: int


@contextmanager
def content_of(path: str) -> Iterator[Content]:
    """What a path or URL names, for as long as the block lasts."""
    told = without_secrets(path)
    with ExitStack() as stack:
        place = _existing(path) if is_local(path) else download(path, _temporary(stack))
        if not (place.is_file() and is_archive(place.name)):
            yield measured(place.parent, place.name, told)
            return
        unpacked = _temporary(stack)
        unpack(place, told, unpacked)
        if not is_local(path):
            place.unlink()
        yield measured(unpacked, "", f"the content of {told}")


def measured(folder: Path, top: str, told: str) -> Content:
    """The files below `folder/top`, or that file itself, with their digest; their names count from `folder`."""
    store = LocalStore(folder)
    files = (top,) if top and (folder / top).is_file() else tuple(store.find(top))
    faults = [f"the model's file {folder / path} {fault}" for path in files if (fault := _fault(folder / path))]
    if not files:
        faults = [f"the model path {told} is an empty folder"]
    if faults:
        raise ConfigError(faults)
    digest, size_bytes = hashlib.sha256(), 0
    for path in files:
        with store.open(path) as file:
            content = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # typeshed asks for more than is used
            size_bytes += file.tell()
        digest.update(f"{path}\0{content.hexdigest()}\0".encode("utf-8", "surrogateescape"))
    return Content(store, files, digest.hexdigest(), size_bytes)


def _temporary(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)))


def _existing(path: str) -> Path:
    place = local_path(path)
    with explained(place):
        exists = place.exists()
    if not exists:
        raise NotFoundError(f"the model path {path!r} does not exist (looked for {place})")
    if not place.name:
        raise ConfigError(f"the model path {path!r} is all of this machine; give a file or a folder")
    return place


def _fault(path: Path) -> str | None:
    """A pipe would be waited for, and a device read for ever."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a link that leads nowhere; remove it or mend it"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if stat.S_ISREG(mode) else "is a pipe, a socket or a device; remove it"
