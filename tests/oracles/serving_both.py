"""Azure ML's inference server and ours, with the same script behind both, and callers of them.

Ours runs a script twice: in our own Python, where Azure's packages are stand-ins, and in the Python of Azure's server, where
they are real.
"""

import http.client
import json
import re
import signal
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.lab import COMMAND, Lab, Program, open_lab
from tests.integration.leftovers import wait_until

PYTHON = Path(__file__).parents[2] / "build" / "inference-server" / "bin" / "python"
SCRIPTS = Path(__file__).with_name("scripts")
START_SECONDS = 60
THEIRS, OURS, OURS_WITH_THEIR_PACKAGES = SIDES = ("theirs", "ours", "ours with their packages")
# Of no interest, or never the same: who answers and when, how long the body is, which version that is.
NOT_COMPARED = {"date", "server", "content-length", "connection", "x-ms-server-version"}
MADE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
MILLISECONDS = re.compile(r"\d+\.\d{3}\Z")
Seen = dict[str, object]
LOST: Seen = {"status": "the connection is lost"}


@dataclass(frozen=True)
class Call:
    """One request; pieces of a body are sent as chunks."""

    script: str
    method: str
    path: str = "/score"
    body: bytes | Sequence[bytes] | None = None
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)


class Side:
    """One server."""

    def __init__(self, lab: Lab, name: str, script: Path) -> None:
        self.port = _free_port()
        given: list[object] = [PYTHON, "-m", "azureml_inference_server_http", "--entry_script", script, "--port", self.port]
        if name != THEIRS:
            given = [*COMMAND, "serve", script, "--port", self.port, "--no-auth", "--status-profile", "inference-server"]
            given += ["--interpreter", PYTHON] if name == OURS_WITH_THEIR_PACKAGES else []
        self.name = name
        self.program: Program = lab.start_program(list(map(str, given)))

    def wait_until_ready(self) -> "Side":
        """Or ended."""
        wait_until(lambda: not self.program.is_running or self._answers(), f"{self.name} answers", START_SECONDS)
        return self

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, call: Call) -> Seen:
        """What is seen of the answer; nothing of one that does not come."""
        connection = self.connect()
        try:
            return self.asked(connection, call)
        except (ConnectionError, http.client.HTTPException):
            return LOST
        finally:
            connection.close()

    def asked(self, connection: http.client.HTTPConnection, call: Call) -> Seen:
        chunked = call.body is not None and not isinstance(call.body, bytes)
        connection.putrequest(call.method, call.path)
        for name, value in call.headers:
            connection.putheader(name, value)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif call.body is not None:
            connection.putheader("Content-Length", str(len(call.body)))
        connection.endheaders(iter(call.body) if chunked and call.body else call.body, encode_chunked=chunked)  # type: ignore[arg-type]
        response = connection.getresponse()
        came = response.read().replace(f"127.0.0.1:{self.port}".encode(), b"127.0.0.1:PORT")
        return {"status": response.status, **_headers(response.getheaders()), **_body(response.status, came)}

    def _answers(self) -> bool:
        with closing(self.connect()) as connection, suppress(OSError):
            connection.request("GET", "/swagger.json?version=3")
            return connection.getresponse().status == 200
        return False


def _headers(given: Sequence[tuple[str, str]]) -> Seen:
    found: dict[str, list[str]] = {}
    for name, value in given:
        if name.lower() not in NOT_COMPARED:
            found.setdefault(name.lower(), []).append(_told(name.lower(), value))
    return {name: values[0] if len(values) == 1 else sorted(values) for name, values in found.items()}


def _told(name: str, value: str) -> str:
    if name.endswith("request-id") and MADE_ID.match(value):
        return "a new one"
    if name == "allow":
        return ", ".join(sorted(value.split(", ")))
    return "milliseconds" if name == "x-ms-run-fn-exec-ms" and MILLISECONDS.match(value) else value


def _body(status: int, came: bytes) -> Seen:
    """As it came; a message of an error, and what a document says at its top, by themselves."""
    with suppress(ValueError):
        told = json.loads(came)
        if isinstance(told, dict):
            if status >= 400 and set(told) == {"message"}:
                return {"body": "a message", "message": told["message"]}
            if "swagger" in told or "openapi" in told:
                return {f"document: {name}": _without_words(value) for name, value in told.items() if name != "info"}
    return {"body": came}


def _without_words(document: object) -> object:
    """Descriptions are everybody's own."""
    if isinstance(document, dict):
        return {name: _without_words(value) for name, value in document.items() if name != "description"}
    return [_without_words(value) for value in document] if isinstance(document, list) else document


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Sides:
    """All servers, each started when it is first asked for, with the other two of its script."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._started: dict[str, dict[str, Side]] = {}
        self._all: list[Side] = []

    def of(self, script: str) -> dict[str, Side]:
        if script not in self._started:
            self._started[script] = self.start(SCRIPTS / f"{script}.py")
            for side in self._started[script].values():
                assert side.program.is_running, side.program.stderr
        return self._started[script]

    def start(self, script: Path) -> dict[str, Side]:
        """Three of their own, ready or ended."""
        return self.start_several([script])[0]

    def end(self) -> None:
        """All that live; gunicorn's workers would outlive a master that is killed."""
        living = [side.program for side in self._all if side.program.is_running]
        for program in living:
            program.send(signal.SIGTERM)
        for program in living:
            program.wait(30)

    def start_several(self, scripts: Sequence[Path]) -> list[dict[str, Side]]:
        found = [{name: Side(self.lab, name, script) for name in SIDES} for script in scripts]
        started = [side for sides in found for side in sides.values()]
        self._all += started
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(Side.wait_until_ready, started))
        return found


@pytest.fixture(scope="session")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    assert PYTHON.exists(), "Azure ML's inference server is not installed: run make test-oracles"
    with open_lab(tmp_path_factory.mktemp("services")) as lab:
        found = Sides(lab)
        yield found
        found.end()
