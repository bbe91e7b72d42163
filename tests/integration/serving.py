"""A server of the tests' own: `batchinfer serve` as a real process, and callers of it."""

import http.client
import json
import re
import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.integration.lab import COMMAND, SCRIPTS, Lab, Program
from tests.integration.leftovers import wait_until

KEYS = ("first-key-0123456789abcdef", "other-key-0123456789abcdef")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self):
        return json.loads(self.body)


class Server:
    """`key_file` holds two keys, unless options say otherwise; the first is sent unless a call says otherwise. `within` comes before it."""

    def __init__(
        self, lab: Lab, script: str | Path, *options: object, environment: dict[str, str] | None = None, within: tuple[str, ...] = ()
    ) -> None:
        self.lab = lab
        self.key_file = lab.root / "keys"
        self.key_file.write_text("\n".join(KEYS))
        given = [*map(str, options)]
        auth = [] if "--no-auth" in given or "--key-file" in given else ["--key-file", str(self.key_file)]
        state = ["--env", f"STATE_DIR={lab.state}"]
        command = [*COMMAND, "serve", str(SCRIPTS / script), "--port", "0", *auth, *state, *given]
        command = [*within, *command]
        self.program: Program = lab.start_program(command, environment=environment)

    def wait_until_ready(self) -> "Server":
        wait_until(lambda: "Ctrl-C" in self.log or not self.program.is_running, "the server is ready", 60)
        assert self.program.is_running, self.log
        return self

    @property
    def log(self) -> str:
        return self.program.stderr

    @property
    def port(self) -> int:
        """Known once it is told, so when all replicas are ready."""
        found = re.search(r"serving on https?://[^/]*:(\d+)/score", self.log)
        assert found, self.log
        return int(found[1])

    def connect(self, seconds: float = 30.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), seconds)

    def ask(
        self, path: str = "/score", body: object = None, method: str | None = None, key: str | None = KEYS[0], **headers: str
    ) -> Answer:
        """One request on a connection of its own; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            given["Authorization"] = f"Bearer {key}"
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, content, given)
            response = connection.getresponse()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def do(self, what: str, given: object = None, **headers: str) -> Answer:
        return self.ask(body={"do": what, "with": given}, **headers)

    def metric(self, name: str) -> float:
        lines = self.ask("/metrics").body.decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def raw(self, sent: bytes) -> bytes:
        """What comes back before the server closes the connection, with what we send kept open."""
        with self.connect() as connection:
            came = b""
            with suppress(ConnectionResetError, BrokenPipeError):  # it did not want to have all
                connection.sendall(sent)
                while piece := connection.recv(65536):
                    came += piece
            return came


class Callers:
    """Calls from threads of their own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def call(self, do: Callable[..., Answer], *given: object, **named: object) -> "Future[Answer]":
        return self._threads.submit(do, *given, **named)


def begun(gate: Path) -> int:
    """How many calls of `answers.py` have begun to wait for this gate."""
    return len(list(gate.parent.glob(f"{gate.name}-*")))
