"""LocalServices: the target that is this machine. Its services outlive whoever deploys them, and are found again by name."""

import logging
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from airflow_batchinfer.deployment.local import key_file, material
from airflow_batchinfer.deployment.local.control import ask
from airflow_batchinfer.deployment.local.folder import COURSE, SERVICES, Course, Lock, ServiceFolder
from airflow_batchinfer.deployment.local.guardian import start
from airflow_batchinfer.deployment.record import IN
from airflow_batchinfer.deployment.states import State, Status
from airflow_batchinfer.deployment.target import Order
from airflow_batchinfer.deployment.targets import LOCAL, LocalTarget
from airflow_batchinfer.deployment.version import VERSION
from airflow_batchinfer.environments.gpus import visible_gpus
from airflow_batchinfer.environments.made import cache_folder
from airflow_batchinfer.errors import ConfigError, ConflictError, DeploymentError
from airflow_batchinfer.service.limits import faults_of
from airflow_batchinfer.service.machine import this_machine
from airflow_batchinfer.service.server import Address, Tls, check_tls, listen

log = logging.getLogger(__name__)

START_SECONDS = 60.0
LATE_SECONDS = 5.0  # a router that has lost its guardian starts another in less
END_SECONDS = 90.0
LOOK_SECONDS = 0.05


class LocalServices:
    """See above."""

    def __init__(self, asked: LocalTarget, workspace_url: str) -> None:
        self._asked = asked
        self._workspace_url = workspace_url

    @property
    def place(self) -> str:
        """This machine, and where this user keeps services: another user of it, or another cache, sees none of them."""
        return f"{LOCAL} on {socket.gethostname()}{IN}{cache_folder(SERVICES)}"

    def apply(self, order: Order) -> int:
        """Bring what the revision needs, and tell the router, or start one."""
        folder = self._folder(order.name)
        self._check_possible(order)
        with folder.alone("another deployment", order.spec.hash):
            try:
                return self._apply(folder, order)
            finally:
                if not folder.exists:  # it came to nothing
                    _vanish(folder)

    def _apply(self, folder: ServiceFolder, order: Order) -> int:
        course = folder.course if folder.exists else Course()
        if course.wanted is None:  # there is none, or whoever deleted it was killed
            self._end(folder)
            course = Course()
        self._check_address(folder)
        _check_quiet(folder)
        failed = course.failure.revision if course.failure else 0
        number = max([course.wanted or 0, course.good or 0, failed, *folder.revisions()]) + 1
        log.info("Bringing the source, the models and the Python of revision %d of %s to this machine", number, order.name)
        material.bring(folder, number, order)
        key_file.set_keys(folder.keys, order.keys, folder.keys_of(number))
        self._hand_over(folder, course, number)
        return number

    def status(self, name: str) -> Status | None:
        """How a service is."""
        folder = self._folder(name)
        try:
            course = folder.course
            if course.wanted is None:
                return None
            with suppress(OSError):
                return Status.from_plain(ask(folder.control, {"do": "status"}))
            lives = folder.guardian.is_held or folder.router.is_held
            failed = course.failure is not None and course.failure.revision == course.wanted
            changes = course.wanted != course.good and not failed
            return Status(
                name=name,
                state=State.TRANSITIONING if lives and changes else State.UNHEALTHY,  # else it may be updated, however long this lasts
                target=LOCAL,
                revision=course.good,
                wanted=course.wanted,
                hash=material.spec_of(folder, course.wanted).hash,
                scoring_uri=folder.read("address.json")["uri"],
                detail="its router starts again" if lives else "its processes are gone, as after a restart of the machine: deploy it again",
                failure=course.failure,
                version=VERSION if lives else "",
            )
        except FileNotFoundError:  # there is none, or it is just being deleted
            return None

    def rollback(self, name: str) -> None:
        """Go back."""
        folder = self._folder(name).require()
        with folder.alone("a rollback"):
            _told(folder, {"do": "rollback"})

    def delete(self, name: str) -> bool:
        """End it; what its processes do not do in time is done to them."""
        folder = self._folder(name)
        _sweep(folder)
        if not folder.path.is_dir():
            return False
        with folder.alone("deleting"):
            existed = folder.exists
            self._end(folder)
            _vanish(folder)
        return existed

    def keys(self, name: str) -> tuple[str, ...]:
        """Its keys, if what serves asks for one, or else what is to serve."""
        folder = self._folder(name).require()
        course = folder.course
        asked = course.wanted if course.good is None else course.good
        if course.wanted is None or asked is None or not material.spec_of(folder, asked).service_config().auth_enabled:
            return ()
        if keys := key_file.good_keys(folder.keys):
            return tuple(keys)
        raise DeploymentError(f"{folder.keys} holds no key: regenerate both, and callers need the new ones")

    def regenerate(self, name: str, which: int, key: str | None) -> None:
        """Another key, which counts when this returns."""
        folder = self._folder(name).require()
        with folder.alone("another change of its keys"):
            key_file.replace_key(folder.keys, which, key)
            with suppress(OSError):  # who starts next reads them
                ask(folder.control, {"do": "read keys"})

    def logs(self, name: str, lines: int) -> str:
        """The end of its log."""
        folder = self._folder(name).require()
        found: list[str] = []
        for path in (folder.log, *(folder.path / f"log.{number}" for number in (1, 2))):
            if len(found) < lines and path.exists():
                found = [*path.read_text("utf-8", "replace").splitlines(), *found]
        return "\n".join(found[-lines:])

    def _folder(self, name: str) -> ServiceFolder:
        return ServiceFolder.of(name, self._workspace_url)

    def _hand_over(self, folder: ServiceFolder, course: Course, number: int) -> None:
        """From here on it is the router's, whatever becomes of us."""
        with suppress(OSError):
            status = Status.from_plain(ask(folder.control, {"do": "status"}))
            if status.version == VERSION:
                ask(folder.control, {"do": "apply", "revision": number})
                return
        course = Course(wanted=number, good=course.good, before=course.before)
        if folder.guardian.is_held or folder.router.is_held:
            folder.keep(course)
            _have_left(folder)
            if _wait(lambda: _answers(folder), START_SECONDS if folder.guardian.is_held else LATE_SECONDS):
                return
        for lock in (folder.guardian, folder.router):  # they hang
            _kill(lock)
        self._start(folder, course)

    def _start(self, folder: ServiceFolder, course: Course) -> None:
        """Start a guardian, and another one if it is killed before there is a router."""
        deadline = time.monotonic() + START_SECONDS
        with self._listening(folder) as sock:
            folder.keep(course)
            while not _answers(folder):
                if time.monotonic() > deadline:
                    raise DeploymentError(f"the service {folder.name!r} does not start:\n{self.logs(folder.name, 20)}")
                if not (folder.guardian.is_held or folder.router.is_held):
                    start("guardian", folder, sock.fileno()).wait()  # it leaves us by a fork
                _wait(lambda: _answers(folder), LATE_SECONDS)

    def _listening(self, folder: ServiceFolder) -> socket.socket:
        """The socket that listens, on the port that the service had before if it had one."""
        known: dict[str, Any] = folder.read("address.json") if (folder.path / "address.json").exists() else {}
        port = self._asked.port or known.get("port", 0)
        try:
            sock = listen(self._address(port))
        except ConfigError:
            if self._asked.port or not port:
                raise
            sock = listen(self._address(0))  # somebody else has the port that it once found free
        address = self._address(sock.getsockname()[1])
        host = socket.gethostname() if address.is_open else address.host
        uri = f"{'https' if address.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{address.port}/score"
        told = {"host": address.host, "port": address.port, "uri": uri, "tls_certificate": None, "tls_key": None}
        if address.tls:
            told |= {"tls_certificate": address.tls.certificate, "tls_key": address.tls.key}
        folder.write("address.json", {**told, "socket": os.fstat(sock.fileno()).st_ino})
        return sock

    def _address(self, port: int) -> Address:
        asked = self._asked
        tls = (
            Tls(os.path.abspath(asked.tls_certificate), os.path.abspath(asked.tls_key)) if asked.tls_certificate and asked.tls_key else None
        )
        return Address(asked.host, port, tls)

    def _check_possible(self, order: Order) -> None:
        config, address = order.spec.service_config(), self._address(0)
        faults = faults_of(config, this_machine(visible_gpus()))
        if address.tls:  # also where something listens already: its next router needs them
            try:
                check_tls(address.tls)
            except ConfigError as error:
                faults += error.faults
        if address.is_open and not config.auth_enabled and not self._asked.open_without_keys:
            faults.append(
                f"host={self._asked.host!r} with auth_enabled=False lets everyone who reaches this machine run the script: "
                "ask for keys, or say LocalTarget(open_without_keys=True) if that is what you want"
            )
        if config.namespace is not None:
            faults.append(f"namespace={config.namespace!r}: one machine has no namespaces; leave it out")
        if faults:
            raise ConfigError(faults)

    def _check_address(self, folder: ServiceFolder) -> None:
        """What listens goes on listening there, so that no caller is lost."""
        if not folder.guardian.is_held or not (folder.path / "address.json").exists():
            return
        known, asked = folder.read("address.json"), self._address(self._asked.port)
        tls = (asked.tls.certificate, asked.tls.key) if asked.tls else (None, None)
        if (asked.host, *tls) != (known["host"], known["tls_certificate"], known["tls_key"]) or asked.port not in (0, known["port"]):
            raise ConflictError(
                f"the service {folder.name!r} listens on {known['uri']}, and where it listens cannot be changed while it lives: "
                "delete it first, or leave the LocalTarget as it is"
            )

    def _end(self, folder: ServiceFolder) -> None:
        with suppress(OSError, DeploymentError):
            ask(folder.control, {"do": "end"})
        (folder.path / COURSE).unlink(missing_ok=True)  # which needs no space on a disk that is full, perhaps of this very service
        lives = [folder.guardian, folder.router]
        if not _wait(lambda: not any(lock.is_held for lock in lives), END_SECONDS if _answers(folder) else 0):
            for lock in lives:
                _kill(lock)


def _vanish(folder: ServiceFolder) -> None:
    """All of it at once, so that nobody finds half of a service."""
    folder.path.rename(folder.path.with_name(f".{uuid4().hex}"))
    _sweep(folder)


def _sweep(folder: ServiceFolder) -> None:
    """Remove what was deleted, also by whoever was killed before it had done so: there are keys and models in it."""
    for gone in folder.path.parent.glob(".*"):
        shutil.rmtree(gone, ignore_errors=True)


def _check_quiet(folder: ServiceFolder) -> None:
    """Before anything is brought: a router that is at it would refuse what comes then."""
    with suppress(OSError):
        status = Status.from_plain(ask(folder.control, {"do": "status"}))
        if status.is_changing:
            raise ConflictError(f"the service {folder.name!r} is just being changed to revision {status.wanted}")


def _have_left(folder: ServiceFolder) -> None:
    """A router of another version answers what it has; who connects meanwhile waits for the next one."""
    with suppress(OSError):
        old = folder.router.holder()
        ask(folder.control, {"do": "leave"})
        _wait(lambda: folder.router.holder() != old, END_SECONDS)


def _told(folder: ServiceFolder, what: dict[str, Any]) -> None:
    try:
        ask(folder.control, what)
    except OSError as error:
        raise DeploymentError(f"the service {folder.name!r} does not answer ({error}): deploy it again") from error


def _answers(folder: ServiceFolder) -> bool:
    try:
        ask(folder.control, {"do": "look"})
    except (OSError, DeploymentError):
        return False
    return True


def _kill(lock: Lock) -> None:
    while (holder := lock.holder()) is not None:
        with suppress(ProcessLookupError, KeyError):
            os.kill(holder["pid"], signal.SIGKILL)
        time.sleep(LOOK_SECONDS)


def _wait(is_so: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True
