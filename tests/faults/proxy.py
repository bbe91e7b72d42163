"""A reverse HTTP/1.1 proxy on loopback that breaks every Nth request: storage as it is on a bad day.

    client --> proxy --> server             the server never knows; the client sees one of the faults below

It forwards requests as they came, `Host` included, whole and one upstream connection each: it is for correctness, not for speed.
It must not know S3 beyond the text of two error answers, and must not repair anything: a request is forwarded once or never.
Invariant: when the `with` block is left, no thread and no socket of the proxy is.
"""

import contextlib
import enum
import http.client
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn


class Fault(enum.StrEnum):
    ERROR = "answers 500 and does not forward"
    THROTTLED = "answers 503 SlowDown and does not forward"
    DONE_BUT_ERROR = "forwards, and answers 500 although it was done"
    DONE_BUT_CLOSED = "forwards, and closes the connection without an answer"
    STALLED = "answers nothing for stall_seconds, then closes; does not forward"


_FORWARDED_FIRST = {Fault.DONE_BUT_ERROR, Fault.DONE_BUT_CLOSED}
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
_ERROR = (500, "InternalError", "We encountered an internal error. Please try again.")
_THROTTLED = (503, "SlowDown", "Please reduce your request rate.")


class FaultyProxy(ThreadingMixIn, HTTPServer):
    daemon_threads = False  # so that server_close() joins them
    request_queue_size = 128

    def __init__(self, upstream_port: int, every: int, kinds: Collection[Fault], stall_seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.upstream_port = upstream_port
        self.every = every
        self.stall_seconds = stall_seconds
        self.closing = threading.Event()
        self.requests = 0
        self.faults: Counter[Fault] = Counter()
        self._rotation = itertools.cycle(kinds)
        self._chosen: list[Fault | None] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def inject(self, *faults: Fault | None) -> None:
        """The next requests get these faults, None being none, whatever `every` says."""
        with self._lock:
            self._chosen.extend(faults)

    def heal(self) -> None:
        """What was asked for and not met yet is forgotten."""
        with self._lock:
            self._chosen.clear()

    def next_fault(self) -> Fault | None:
        with self._lock:
            self.requests += 1
            if self._chosen:
                fault = self._chosen.pop(0)
            else:
                fault = next(self._rotation) if self.every and self.requests % self.every == 0 else None
            if fault:
                self.faults[fault] += 1
            return fault

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        with self._lock:
            for connection in self._open:  # their threads wait for the next request of a client that keeps them alive
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Forwarder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyProxy

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client has given up
            super().handle()

    def forward(self) -> None:
        body = self._read_body()
        fault = self.server.next_fault()
        answer = self._ask_upstream(body) if fault is None or fault in _FORWARDED_FIRST else None
        match fault:
            case None:
                self._answer(*answer)
            case Fault.ERROR | Fault.DONE_BUT_ERROR:
                self._answer_error(*_ERROR)
            case Fault.THROTTLED:
                self._answer_error(*_THROTTLED)
            case Fault.DONE_BUT_CLOSED:
                self.close_connection = True
            case Fault.STALLED:
                self.server.closing.wait(self.server.stall_seconds)
                self.close_connection = True

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = forward  # noqa: N815 http.server looks for these names

    def log_message(self, *_args: object) -> None:
        """Nothing: a test reads the counters."""

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(chunks)

    def _ask_upstream(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.upstream_port, timeout=60)) as upstream:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {*_HOP_BY_HOP, "content-length"}:
                    upstream.putheader(name, value)
            if body or "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if "content-length" not in names and status not in {http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer_error(self, status: int, code: str, message: str) -> None:
        text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))]
        self._answer(status, headers, b"" if self.command == "HEAD" else text)


@contextlib.contextmanager
def faulty_proxy(
    upstream_port: int, *, every: int = 3, kinds: Collection[Fault] = tuple(Fault), stall_seconds: float = 5
) -> Iterator[FaultyProxy]:
    """A running proxy; `every=0` breaks nothing but what `inject` asks for."""
    proxy = FaultyProxy(upstream_port, every, kinds, stall_seconds)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, name="faulty-proxy")
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
