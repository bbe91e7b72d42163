"""The folder of one service on this machine: which file is what, and who lives. It starts nothing and decides nothing.

    <cache>/services/<name>-<digest of the workspace>/
        address.json  course.json  keys  log  control
        operation.lock  guardian.lock  router.lock
        revisions/<n>/{spec.json, launch.json, source/, models/}    models/<name>-<version>-<digest>/    files/

A lock is an `flock`: it ends with the process that holds it, whose id stands in the file. So nobody is taken for alive, or killed,
who is not it.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from airflow_batchinfer.deployment.states import Failure
from airflow_batchinfer.deployment.target import UnderWay
from airflow_batchinfer.environments.made import cache_folder
from airflow_batchinfer.errors import NotFoundError, StorageError
from airflow_batchinfer.storage import LocalStore
from airflow_batchinfer.storage.local import explained

SERVICES = "services"
COURSE = "course.json"
SAID_BYTES = 256
TRIES, TRY_SECONDS = 100, 0.002


@dataclass(frozen=True)
class Course:
    """Where a service stands: kept, so that whoever starts next goes on from there.

    :param wanted: The revision that it should serve; None when it is to end.
    :param good: The one that has answered last, and serves.
    :param before: The one before that.
    """

    wanted: int | None = None
    good: int | None = None
    before: int | None = None
    failure: Failure | None = None

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """From `to_json`."""
        stored = json.loads(text)
        return cls(**{**stored, "failure": stored["failure"] and Failure(**stored["failure"])})

    def to_json(self) -> bytes:
        """What is kept."""
        return json.dumps(asdict(self)).encode()


class Lock:
    """One of the files that say who lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: int | None = None

    def take(self) -> BinaryIO | None:
        """Hold it as long as the file is open; None if somebody else does."""
        file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        if not _lock(file) or not self._is_the_file(file.fileno()):  # others have it, or its folder was deleted meanwhile
            file.close()
            return None
        self.say(file, {"pid": os.getpid()})
        return file

    def take_for_good(self) -> bool:
        """Hold it until this process has ended; whether that is so."""
        file = self.take()
        if file:
            with file:
                self._held = os.dup(file.fileno())  # never closed
        return file is not None

    @property
    def is_lost(self) -> bool:
        """Whether what is held for good is no more the file of this name: somebody has deleted its folder."""
        return self._held is not None and not self._is_the_file(self._held)

    def say(self, file: BinaryIO, what: Mapping[str, Any]) -> None:
        """Write for others who holds it; over what is there, since that works on a full disk too."""
        with explained(self._path):
            os.pwrite(file.fileno(), json.dumps(what).encode().ljust(SAID_BYTES), 0)

    def holder(self) -> dict[str, Any] | None:
        """What its holder says; None if nobody holds it, and nothing yet if that has just begun."""
        try:
            with self._path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    with suppress(ValueError):
                        return dict(json.loads(file.read()))
                    return {}
        except FileNotFoundError:
            pass
        return None

    @property
    def is_held(self) -> bool:
        """Whether somebody holds it."""
        return self.holder() is not None

    def _is_the_file(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False


def _lock(file: BinaryIO) -> bool:
    """Who only looks who holds it has it for a moment, together with all who look."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            time.sleep(TRY_SECONDS)
        else:
            return True
    return False


class ServiceFolder:
    """See above."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.rpartition("-")[0]
        self.store = LocalStore(path)
        self.operation = Lock(path / "operation.lock")
        self.guardian = Lock(path / "guardian.lock")
        self.router = Lock(path / "router.lock")
        self.control = path / "control"
        self.keys = path / "keys"
        self.log = path / "log"
        self.models = path / "models"
        self.files = path / "files"

    @classmethod
    def of(cls, name: str, workspace_url: str) -> Self:
        """The folder of a service, which need not be there."""
        digest = hashlib.sha256(workspace_url.encode()).hexdigest()[:8]
        return cls(cache_folder(SERVICES) / f"{name}-{digest}")

    @property
    def exists(self) -> bool:
        """Whether there is a service."""
        return (self.path / COURSE).is_file()

    def require(self) -> Self:
        """NotFoundError unless there is a service."""
        if not self.exists:
            raise NotFoundError(f"there is no service {self.name!r} on this machine for this workspace")
        return self

    @property
    def course(self) -> Course:
        """Where it stands."""
        try:
            return Course.from_json(self.store.read(COURSE))
        except (ValueError, TypeError) as error:
            raise StorageError(f"{self.path / COURSE} makes no sense ({error}): delete the service, and deploy it again") from error

    def keep(self, course: Course) -> None:
        """Remember where it stands."""
        with self.store.writer(COURSE) as stream:
            stream.write(course.to_json())

    def listens_on(self, descriptor: int) -> bool:
        """Whether this is the socket that callers are told of, and not one from before somebody started the service anew."""
        inode = os.fstat(descriptor).st_ino
        return bool(self.read("address.json").get("socket", inode) == inode)

    def revision(self, number: int) -> Path:
        """The folder of a revision."""
        return self.path / "revisions" / str(number)

    def keys_of(self, number: int) -> Path:
        """Keys that count from when a revision serves; there is no such file if it sets none."""
        return self.revision(number) / "keys"

    def revisions(self) -> list[int]:
        """The numbers of all that are kept."""
        return sorted(int(name) for name in self.store.children("revisions") if name.isdigit())

    def read(self, path: str) -> dict[str, Any]:
        """A file of JSON."""
        return dict(json.loads(self.store.read(path)))

    def write(self, path: str, content: Mapping[str, Any]) -> None:
        """A file of JSON, whole or not at all."""
        with self.store.writer(path) as stream:
            stream.write(json.dumps(content).encode())

    @contextmanager
    def alone(self, what: str, spec_hash: str = "") -> Iterator[None]:
        """One operation at a time; UnderWay if another has begun."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = self.operation.take()
        if held is None:
            other = self.operation.holder() or {}
            raise UnderWay(self.name, other.get("what", "another operation"), other.get("hash"))
        with held:
            self.operation.say(held, {"pid": os.getpid(), "what": what, "hash": spec_hash})
            yield
