"""An S3 server on loopback, moto's, in a process of its own: `with s3_server() as server`, then `server.url`.

It must keep S3's promise that moto alone does not: `If-None-Match: *` has exactly one winner. moto looks first and writes then, with
other threads in between (seen: 3 of 150 races of 8 writers, threads switching quickly), so here one request is served at a time.
A process of its own, so that moto's warnings and its share of the interpreter's lock are not those of the test. It ends when its
standard input does: also when the test's process is killed.
"""

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class S3Server:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str) -> None:
        """S3 wants at least three characters."""
        request = urllib.request.Request(f"{self.url}/{name}", method="PUT")  # noqa: S310 the address is our own
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310 as above
            pass


def s3_options(url: str, *, timeout_seconds: float = 60, botocore_retries: int = 4) -> dict[str, object]:
    """Options for `s3fs.S3FileSystem`; its own retries, after botocore's, are its attribute `retries` (calls in all, default 5)."""
    return {
        "key": "test",
        "secret": "test",
        "endpoint_url": url,
        "client_kwargs": {"region_name": "us-east-1"},
        "config_kwargs": {
            "connect_timeout": timeout_seconds,
            "read_timeout": timeout_seconds,
            "retries": {"mode": "standard", "total_max_attempts": 1 + botocore_retries},
        },
    }


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the S3 server did not start: its error is above")
        try:
            yield S3Server(int(line))
        finally:
            process.terminate()  # and Popen waits for its end


def _serve() -> None:
    import io
    import logging
    import threading

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server
    from werkzeug.wsgi import get_input_stream

    moto = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"] = io.BytesIO(get_input_stream(environ).read())  # a slow client must not hold the lock
        with one_at_a_time:
            return moto(environ, start_response)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
