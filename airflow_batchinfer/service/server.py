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
from airflow_batchinfer.processes import Launch, Show
from airflow_batchinfer.service.app import Desk, Score, routes
from airflow_batchinfer.service.bodies import Bodies
from airflow_batchinfer.service.config import ServiceConfig
from airflow_batchinfer.service.connections import Connection
from airflow_batchinfer.service.dispatching import Dispatcher, Limits
from airflow_batchinfer.service.keys import KeyFile
from airflow_batchinfer.service.metrics import Metrics
from airflow_batchinfer.service.pool import Pool
from airflow_batchinfer.service.protocol import Start
from airflow_batchinfer.service.replica import Role

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


@dataclass(frozen=True)
class Service:
    """What is served, how, and for whom; without keys everyone who can connect may ask."""

    name: str
    config: ServiceConfig
    launch: Launch
    start: Start
    keys: KeyFile | None
    gpus: tuple[str, ...] = ()


def listen(address: Address) -> socket.socket:
    """A socket that is bound, before anything is started."""
    if address.tls:
        _check_tls(address.tls)
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
    await _Running(service, address, show).work(sock, announce)


class _Running:
    def __init__(self, service: Service, address: Address, show: Show) -> None:
        config = service.config
        self._tell: Callable[[str], None] = lambda text: show(SERVER, text)
        at_once = config.replica_max_concurrent_requests
        limits = Limits(config.scoring_timeout_ms / 1000, config.max_request_wait_time / 1000, at_once)
        metrics = Metrics()
        self._at_once = at_once
        self._dispatcher = Dispatcher(limits)
        role = Role(service.launch, service.start, show)
        self._pool = Pool(role, self._dispatcher, config.scale, init_seconds=config.initial_delay_seconds, gpus=service.gpus)
        self._pool.tell = self._tell
        score = Score(self._dispatcher, metrics, Bodies(), service.keys, config.status_profile)
        score.tell = self._tell
        desk = Desk(self._pool, self._dispatcher, metrics, service.keys, service.name)
        self._server = _Server(
            uvicorn.Config(
                routes(score, desk),
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
                timeout_graceful_shutdown=int(limits.scoring_seconds + limits.most_wait_seconds) + 5,
            )
        )

    async def work(self, sock: socket.socket, announce: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        listening = loop.create_task(self._server.serve([sock]))
        try:
            self._pool.open(self._at_once)
            await asyncio.wait({self._pool.started, listening}, return_when=asyncio.FIRST_COMPLETED)
            if self._pool.started.done() and not self._pool.started.exception():
                announce()
                await listening
        finally:
            self._dispatcher.stop()
            self._server.should_exit = True
            await asyncio.gather(self._pool.close(), listening)
        if self._pool.started.done():
            self._pool.started.result()

    def _stop(self) -> None:
        if self._server.should_exit:
            self._server.force_exit = True
        else:
            self._tell("stopping: nobody new is let in, who was let in gets an answer")
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are ours."""
        yield


def _check_tls(tls: Tls) -> None:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificate {tls.certificate} with the key {tls.key} cannot be used: {error}") from error
