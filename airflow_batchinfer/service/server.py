"""The router: one process that listens, its replicas below it, from the first `init()` to the last answer.

    callers ──HTTP──> app ──> dispatching: one queue ──> replicas (a process each)
                                                  pool: starts, replaces, scales them

SIGTERM and Ctrl-C end it: nobody new is let in, who was let in gets an answer, then the replicas end. A second one does not wait.
"""

import asyncio
import contextlib
import ipaddress
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn
import uvloop

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.processes import Show
from airflow_batchinfer.service.app import Desk, Reception, Score, routes
from airflow_batchinfer.service.connections import Connection, raise_the_limit
from airflow_batchinfer.service.serving import Service, Serving

BACKLOG = 2048
SERVER = -1


@dataclass(frozen=True)
class Tls:
    """The files of a certificate and its key."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Address:
    """Where to listen; port 0 takes one that is free."""

    host: str = "127.0.0.1"
    port: int = 0
    tls: Tls | None = None

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach it."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True

    def url(self, port: int) -> str:
        """How a caller on this machine names it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)  # noqa: S104 - compared
        return f"{'https' if self.tls else 'http'}://{host}:{port}"


def listen(address: Address) -> socket.socket:
    """A socket that is bound, before anything is started."""
    if address.tls:
        check_tls(address.tls)
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        told = f"{address.host}:{address.port} cannot be listened on: {error}"
        raise ConfigError(f"{told}; give another --host or --port, --port 0 takes one that is free") from error


def serve(service: Service, address: Address, sock: socket.socket, show: Show, announce: Callable[[], None]) -> None:
    """Answer until a signal ends it. ScriptError if the script cannot be loaded or its `init()` raises."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(service, address, sock, show, announce))


async def _serve(service: Service, address: Address, sock: socket.socket, show: Show, announce: Callable[[], None]) -> None:
    def tell(text: str) -> None:
        show(SERVER, text)

    front = Front(service.name, address, tell)
    serving = front.serving = Serving(service, show, tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, front.stop)
    listening = asyncio.create_task(front.listen(sock))
    started = serving.pool.started
    try:
        serving.open()
        await asyncio.wait({started, listening}, return_when=asyncio.FIRST_COMPLETED)
        if started.done() and not started.exception():
            announce()
            await listening
    finally:
        front.end()
        await asyncio.gather(serving.close(), listening)
    if started.done():
        started.result()


class Front:
    """HTTP, in front of one revision after the other: `serving` is the one that gets the requests."""

    def __init__(self, name: str, address: Address, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._reception = Reception()
        score = Score(self._reception, tell)
        self._server = _Server(
            uvicorn.Config(
                routes(score, Desk(self._reception, name)),
                http=Connection,
                loop="none",
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="error",  # whoever sends garbage shall not write our log, nor make us wait for who reads it
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                ssl_certfile=address.tls.certificate if address.tls else None,
                ssl_keyfile=address.tls.key if address.tls else None,
            )
        )

    @property
    def serving(self) -> Serving:
        """Who answers."""
        return self._reception.serving

    @serving.setter
    def serving(self, serving: Serving) -> None:
        self._reception.serving = serving
        self._server.config.timeout_graceful_shutdown = int(serving.most_seconds) + 5

    async def listen(self, sock: socket.socket) -> None:
        """Answer until it is stopped."""
        raise_the_limit()
        await self._server.serve([sock])

    def stop(self) -> None:
        """Let nobody new in; a second time, do not wait for whom is in either."""
        if self._server.should_exit:
            self._server.force_exit = True
        else:
            self._tell("stopping: nobody new is let in, who was let in gets an answer")
        self.end()

    def end(self) -> None:
        """Let nobody new in."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are ours."""
        yield


def check_tls(tls: Tls) -> None:
    """Raise unless the files are there and belong together."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificate {tls.certificate} with the key {tls.key} cannot be used: {error}") from error
