"""A service on this machine, deployed as a DAG deploys it, for a benchmark that changes it and kills its processes."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.deployment.local.folder import Lock, ServiceFolder
from airflow_batchinfer.deployment.ordering import order_of
from airflow_batchinfer.deployment.targets import LocalTarget, open_target
from airflow_batchinfer.errors import ScriptError
from airflow_batchinfer.service.config import InferenceConfig, ServiceConfig
from airflow_batchinfer.workspace import Workspace
from benchmarks.places import ENTRY_SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_batchinfer.deployment.target import Order

SCRIPT = ENTRY_SCRIPTS / "echoes.py"
DEPLOY_SECONDS = 300.0
LOOK_SECONDS = 0.02
KEEPER = b"airflow_batchinfer/worker"


class Deployed:
    """See above. A revision's label is in each of its answers."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._target = LocalTarget()
        self._workspace = Workspace.at(str(folder / "workspace"))
        self._there = open_target(self._target, self._workspace)
        self._files = ServiceFolder.of(name, self._workspace.url)

    def deploy(self, label: str, **config: object) -> None:
        """Bring up a revision, and wait until it serves."""
        order = self._order(label, fails=False, config=config)
        deadline = time.monotonic() + DEPLOY_SECONDS
        number = deploying.begin(self._target, order, deadline)
        deploying.wait(self._there, self.name, number, deadline, lambda _: None)

    def deploy_what_fails(self, **config: object) -> None:
        """Bring up a revision whose `init()` raises, and see that it is told."""
        deadline = time.monotonic() + DEPLOY_SECONDS
        try:
            number = deploying.begin(self._target, self._order("bad", fails=True, config=config), deadline)
            deploying.wait(self._there, self.name, number, deadline, lambda _: None)
        except ScriptError as error:
            if "is made to fail" not in error.of_the_script:
                raise
        else:
            raise RuntimeError("a revision whose init() raises came up")

    def delete(self) -> None:
        """End it."""
        deploying.delete(self._workspace, self.name)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._files.read("address.json")["port"])

    @property
    def keys(self) -> tuple[str, ...]:
        """The primary one first."""
        return self._there.keys(self.name)

    def ask(self, key: str) -> int:
        """The status that one request with this key gets."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/score", b"{}", {"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=DEPLOY_SECONDS) as answer:  # noqa: S310 - this machine's
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code

    def regenerate(self, which: str) -> None:
        """Another key in place of one."""
        deploying.regenerate(self._workspace, self.name, which)

    @property
    def replicas_ready(self) -> int:
        """How many may answer."""
        status = self._there.status(self.name)
        return status.replicas_ready if status else 0

    @property
    def log(self) -> str:
        """All that is left of it."""
        return self._there.logs(self.name, 1_000_000)

    @property
    def router(self) -> int | None:
        """The process that listens, if it lives."""
        return _pid(self._files.router)

    @property
    def guardian(self) -> int | None:
        """The process above it."""
        return _pid(self._files.guardian)

    @property
    def replicas(self) -> list[int]:
        """The processes that answer, the oldest first."""
        keepers = [pid for pid in _children(self.router or 0) if KEEPER in _read(pid, "cmdline")]
        return sorted(replica for keeper in keepers for replica in _children(keeper))

    def wait_until_whole(self, seconds: float = 60.0) -> None:
        """Until guardian and router live and all replicas are ready."""
        until(lambda: self.guardian and self.router and self._is_whole(), seconds)

    def _is_whole(self) -> bool:
        status = self._there.status(self.name)
        return bool(status and status.state == "Healthy" and status.replicas_ready == status.replicas_wanted)

    def _order(self, label: str, *, fails: bool, config: dict[str, object]) -> Order:
        source = self._folder / "sources" / label
        source.mkdir(parents=True, exist_ok=True)
        shutil.copy(SCRIPT, source)
        (source / "revision.json").write_text(json.dumps({"label": label, "fails": fails}))
        inference = InferenceConfig(source_directory=str(source), entry_script=SCRIPT.name)
        service = ServiceConfig(**config)
        return order_of(self._workspace, self.name, inference, service, folder=self._folder, sample_input={"id": "sample"})


@contextmanager
def deployed(name: str, folder: Path, **config: object) -> Iterator[Deployed]:
    """A service that serves its revision `a`, until the end of the block."""
    service = Deployed(name, folder)
    try:
        service.deploy("a", **config)
        yield service
    finally:
        service.delete()


def end(pid: int, number: int = signal.SIGKILL) -> tuple[float, float]:
    """Send a signal to a process, which need not be our child, and wait until it is gone: when it was sent, and when that was."""
    descriptor = os.pidfd_open(pid)
    try:
        before = time.monotonic()
        os.kill(pid, number)
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        if not ended.poll(120_000):
            raise RuntimeError(f"process {pid} outlives signal {number}")
        return before, time.monotonic()
    finally:
        os.close(descriptor)


def until(is_so: Callable[[], object], seconds: float) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s in vain")
        time.sleep(LOOK_SECONDS)


def resident_bytes(pid: int) -> int | None:
    """The memory of a process, if it lives."""
    for line in _read(pid, "status").splitlines():
        if line.startswith(b"VmRSS:"):
            return int(line.split()[1]) << 10
    return None


def _pid(lock: Lock) -> int | None:
    return (lock.holder() or {}).get("pid")


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        threads = os.listdir(f"/proc/{pid}/task")
        return [int(child) for thread in threads for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
    return []


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
