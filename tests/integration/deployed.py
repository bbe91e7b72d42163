"""Services that tests deploy: the script as text, the target of this machine, and callers. Nothing of them may be left in the end."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.deployment.local.folder import ServiceFolder
from airflow_batchinfer.deployment.ordering import order_of
from airflow_batchinfer.deployment.states import Status
from airflow_batchinfer.deployment.target import Order, Target
from airflow_batchinfer.deployment.targets import LocalTarget, open_target
from airflow_batchinfer.service.config import InferenceConfig, ServiceConfig
from airflow_batchinfer.workspace import Workspace
from tests.integration.lab import Lab
from tests.integration.leftovers import wait_until
from tests.integration.serving import Answer

NAME = "scoring"
PATIENCE_SECONDS = 60.0
ANSWERS = """
import os, time
def run(raw):
    time.sleep(float(raw) if raw.startswith("0.") else 0)
    return {"revision": REVISION, "pid": os.getpid(), "got": raw}
"""
# It answers when a file appears.
WAITS = """
import os, time
def init():
    while not os.path.exists(GATE):
        time.sleep(0.01)
def run(raw):
    return {"revision": REVISION}
"""
RAISES = """
def init():
    raise RuntimeError("the weights are missing")
def run(raw):
    pass
"""


def answers(revision: object) -> str:
    """A script that says which it is."""
    return ANSWERS.replace("REVISION", repr(revision))


def waits(gate: Path, revision: object) -> str:
    """A script whose `init()` takes as long as it is told."""
    return WAITS.replace("GATE", repr(str(gate))).replace("REVISION", repr(revision))


class Deployer:
    """Deploys to this machine, in a lab's workspace."""

    def __init__(self, lab: Lab, asked: LocalTarget | None = None) -> None:
        self.lab = lab
        self.asked = asked or LocalTarget()
        self.workspace = Workspace.at(lab.workspace_url)

    @property
    def target(self) -> Target:
        return open_target(self.asked, self.workspace)

    def order(self, script: str, *, name: str = NAME, **asked: object) -> Order:
        """Arguments are those of ServiceConfig, but for what `order_of` takes."""
        path = self.lab.script(script, "score.py")
        of_the_order = {key: asked.pop(key) for key in ("models", "sample_input", "rollback_on_failure") if key in asked}
        config = ServiceConfig(**{"num_replicas": 1, "max_request_wait_time": 10_000, **asked})
        return order_of(self.workspace, name, InferenceConfig(entry_script=path.name), config, folder=path.parent, **of_the_order)

    def begin(self, script: str, *, overwrite: bool = True, **asked: object) -> int:
        return deploying.begin(self.asked, self.order(script, **asked), time.monotonic() + PATIENCE_SECONDS, overwrite=overwrite)

    def deploy(self, script: str, *, name: str = NAME, **asked: object) -> Status:
        number = self.begin(script, name=name, **asked)
        return deploying.wait(self.target, name, number, time.monotonic() + PATIENCE_SECONDS, lambda _: None)

    def status(self, name: str = NAME) -> Status:
        found = self.target.status(name)
        assert found
        return found

    def folder(self, name: str = NAME) -> ServiceFolder:
        return ServiceFolder.of(name, self.workspace.url)

    def ask(self, body: str = "x", *, name: str = NAME, key: str | None = "") -> Answer:
        """One request on a connection of its own; the primary key unless another is given."""
        url = urlsplit(self.status(name).scoring_uri)
        given = (*self.target.keys(name), None)[0] if key == "" else key
        return ask(url.hostname, url.port, body, given)

    def pids(self, name: str = NAME) -> dict[str, int]:
        """The processes that hold the service's locks."""
        folder = self.folder(name)
        return {what: holder["pid"] for what in ("guardian", "router") if (holder := getattr(folder, what).holder())}

    def delete(self, name: str = NAME) -> bool:
        return deploying.delete(self.workspace, name)


def ask(host: str, port: int, body: str, key: str | None) -> Answer:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", "/score", body, {"Authorization": f"Bearer {key}"} if key else {})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


class Callers:
    """Calls one after the other, from threads of their own, until the block ends; `came` is what came of each."""

    def __init__(self, deployer: Deployer, count: int, key: str | None = "") -> None:
        url = urlsplit(deployer.status().scoring_uri)
        self.came: list[object] = []
        self._place = (url.hostname, url.port)
        self._key = (*deployer.target.keys(NAME), None)[0] if key == "" else key
        self._stop = threading.Event()
        # Half of them keep their connection, as requests.Session does.
        self._threads = [threading.Thread(target=self._keep_on if number % 2 else self._come_anew) for number in range(count)]

    @contextmanager
    def calling(self) -> Iterator["Callers"]:
        for thread in self._threads:
            thread.start()
        try:
            self.wait_for_more(10)
            yield self
            self.wait_for_more(10)
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def wait_for_more(self, count: int) -> None:
        before = len(self.came)
        wait_until(lambda: len(self.came) >= before + count, "more calls", PATIENCE_SECONDS)

    @property
    def revisions(self) -> list[object]:
        """Which revision answered, in order; what was no answer as it is."""
        return [json.loads(each.body)["revision"] if isinstance(each, Answer) and each.status == 200 else each for each in self.came]

    def _come_anew(self) -> None:
        while not self._stop.is_set():
            try:
                self.came.append(ask(*self._place, "x", self._key))
            except OSError as error:
                self.came.append(error)

    def _keep_on(self) -> None:
        connection = http.client.HTTPConnection(*self._place, timeout=PATIENCE_SECONDS)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/score", "x", {"Authorization": f"Bearer {self._key}"})
                response = connection.getresponse()
                self.came.append(Answer(response.status, dict(response.getheaders()), response.read()))
            except (OSError, http.client.HTTPException) as error:
                self.came.append(error)
                connection.close()
        connection.close()
