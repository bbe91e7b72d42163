"""The faults we test against are faults indeed: the proxy and the S3 server proven with s3fs, the flaky filesystem with fsspec."""

import contextlib
import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
import s3fs
from botocore.exceptions import ConnectionClosedError

from tests.faults.flaky_filesystem import FAULTY, flaky_filesystem
from tests.faults.proxy import Fault, FaultyProxy, faulty_proxy
from tests.faults.s3_server import S3Server, s3_options, s3_server

QUICK = tuple(fault for fault in Fault if fault is not Fault.STALLED)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket(server: S3Server, counter=itertools.count()) -> str:  # noqa: B008 one count for all tests is meant
    name = f"bucket-{next(counter)}"
    server.make_bucket(name)
    return name


@pytest.fixture
def sound_proxy(server: S3Server) -> Iterator[FaultyProxy]:
    with faulty_proxy(server.port, every=0, stall_seconds=30) as proxy:
        yield proxy


def client(url: str, *, retries: int = 0, timeout_seconds: float = 60) -> s3fs.S3FileSystem:
    options = s3_options(url, timeout_seconds=timeout_seconds, botocore_retries=retries)
    fs = s3fs.S3FileSystem(**options, use_listings_cache=False, skip_instance_cache=True)
    fs.retries = 1
    return fs


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# The S3 server


def test_the_s3_server_lets_exactly_one_of_eight_racing_writers_create_an_object(server: S3Server, bucket: str):
    fs = client(server.url)

    def create(path: str, writer: int) -> bytes | None:
        content = b"%d" % writer * 1000
        with contextlib.suppress(FileExistsError):
            fs.pipe_file(path, content, mode="create")
            return content
        return None

    with ThreadPoolExecutor(8) as writers:
        for path in (f"{bucket}/{race}" for race in range(10)):
            won = [content for content in writers.map(create, [path] * 8, range(8)) if content]
            assert won == [fs.cat_file(path)]


def test_the_s3_server_is_gone_when_its_block_is_left():
    with s3_server() as server:
        assert not refuses_connections(server.port)
    assert refuses_connections(server.port)


def test_the_s3_server_ends_when_the_process_that_started_it_is_killed():
    program = (
        "import tests.faults.s3_server as s, signal\nwith s.s3_server() as server:\n    print(server.port, flush=True)\n    signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ) as parent:
        port = int(parent.stdout.readline())
        assert not refuses_connections(port)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not refuses_connections(port):
        assert time.monotonic() < deadline


# What a client sees of each fault


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        (Fault.ERROR, "internal error", False),
        (Fault.THROTTLED, "reduce your request rate", False),
        (Fault.DONE_BUT_ERROR, "internal error", True),
        (Fault.STALLED, "Read timeout", False),
    ],
    ids=["error", "throttled", "done_but_error", "stalled"],
)
def test_a_write_fails_as_the_fault_says_and_was_done_only_if_the_fault_says_so(
    sound_proxy: FaultyProxy, bucket: str, fault: Fault, error: str, *, done: bool
):
    fs = client(sound_proxy.url, timeout_seconds=0.5)
    sound_proxy.inject(fault)
    with pytest.raises(OSError, match=error):
        fs.pipe_file(f"{bucket}/file", b"content")
    assert fs.exists(f"{bucket}/file") is done
    assert sound_proxy.faults == {fault: 1}


def test_a_lost_answer_makes_the_winner_of_a_create_believe_that_it_lost(sound_proxy: FaultyProxy, bucket: str):
    """aiohttp sends a PUT once more when the connection closes, whatever the retries of botocore and s3fs."""
    fs = client(sound_proxy.url)
    sound_proxy.inject(Fault.DONE_BUT_CLOSED)
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{bucket}/file", b"mine", mode="create")
    assert fs.cat_file(f"{bucket}/file") == b"mine"


def test_an_answer_lost_twice_is_an_error_that_is_no_oserror_and_the_write_was_done(sound_proxy: FaultyProxy, bucket: str):
    fs = client(sound_proxy.url)
    sound_proxy.inject(Fault.DONE_BUT_CLOSED, Fault.DONE_BUT_CLOSED)
    with pytest.raises(ConnectionClosedError) as raised:
        fs.pipe_file(f"{bucket}/file", b"content")
    assert not isinstance(raised.value, OSError)
    assert fs.cat_file(f"{bucket}/file") == b"content"
    assert sound_proxy.faults == {Fault.DONE_BUT_CLOSED: 2}


def test_every_nth_request_gets_the_next_kind_and_each_is_counted(server: S3Server, bucket: str):
    with faulty_proxy(server.port, every=3, kinds=[Fault.ERROR, Fault.THROTTLED]) as proxy:
        fs = client(proxy.url)
        failed = []
        for number in range(1, 13):
            with contextlib.suppress(OSError):
                fs.pipe_file(f"{bucket}/{number}", b"x")
                continue
            failed.append(number)
    assert failed == [3, 6, 9, 12]
    assert proxy.faults == {Fault.ERROR: 2, Fault.THROTTLED: 2}
    assert proxy.requests == 12


def test_a_client_that_retries_writes_and_reads_everything_through_a_proxy_that_fails_every_third_request(server: S3Server, bucket: str):
    content = {f"{bucket}/{number}": os.urandom(10_000) for number in range(4)}
    with faulty_proxy(server.port, every=3, kinds=QUICK) as proxy:
        fs = client(proxy.url, retries=6)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(fs.pipe_file, content, content.values()))
            assert list(threads.map(fs.cat_file, content)) == list(content.values())
        assert sorted(fs.find(bucket)) == sorted(content)
    assert set(proxy.faults) == set(QUICK)


def test_an_upload_in_parts_arrives_as_it_was_sent(sound_proxy: FaultyProxy, bucket: str):
    content = os.urandom(11 * 2**20)
    fs = client(sound_proxy.url)
    with fs.open(f"{bucket}/big", "wb", block_size=5 * 2**20) as file:
        file.write(content)
    assert fs.cat_file(f"{bucket}/big") == content


# HTTP


@contextlib.contextmanager
def connection(proxy: FaultyProxy) -> Iterator[http.client.HTTPConnection]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", proxy.server_port, timeout=10)) as connection:
        yield connection


SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=unread"}


def ask(connection: http.client.HTTPConnection, *request: object, **options: object) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection.request(*request, headers=SIGNED, **options)
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def test_one_connection_carries_many_requests_and_their_injected_errors(sound_proxy: FaultyProxy, bucket: str):
    with connection(sound_proxy) as kept:
        kept.connect()
        port = kept.sock.getsockname()
        sound_proxy.inject(None, None, Fault.ERROR, Fault.DONE_BUT_ERROR, Fault.THROTTLED)
        asked = [
            ("PUT", f"/{bucket}/file", b"12345"),
            ("HEAD", f"/{bucket}/file"),
            ("HEAD", f"/{bucket}/file"),
            ("PUT", f"/{bucket}/file", b"1"),
        ]
        asked += [("GET", f"/{bucket}/file"), ("GET", f"/{bucket}/file"), ("DELETE", f"/{bucket}/file"), ("GET", f"/{bucket}/file")]
        answers = [ask(kept, *request) for request in asked]
        assert kept.sock.getsockname() == port
    assert [status for status, _, _ in answers] == [200, 200, 500, 500, 503, 200, 204, 404]
    assert [body for _, body, _ in answers[1:3]] == [b"", b""]
    assert answers[1][2]["Content-Length"] == "5"
    assert b"<Code>SlowDown</Code>" in answers[4][1]
    assert answers[5][1] == b"1"


def test_a_body_in_chunks_arrives_whole(sound_proxy: FaultyProxy, bucket: str):
    with connection(sound_proxy) as chunked:
        assert ask(chunked, "PUT", f"/{bucket}/file", iter([b"one ", b"two ", b"three"]), encode_chunked=True)[0] == 200
        assert ask(chunked, "GET", f"/{bucket}/file")[1] == b"one two three"


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(sound_proxy: FaultyProxy, bucket: str):
    head = f"PUT /{bucket}/file HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", sound_proxy.server_port), timeout=10) as plain, plain.makefile("rb") as answers:
        plain.sendall(head.encode())
        assert b"100 Continue" in answers.readline()
        plain.sendall(b"content")
        assert b"HTTP/1.1 200 OK" in answers.read()


def test_leaving_the_proxy_ends_its_threads_with_clients_still_connected_and_stalled(server: S3Server, bucket: str):
    before = set(threading.enumerate())
    with contextlib.ExitStack() as clients:
        with faulty_proxy(server.port, every=0, stall_seconds=600) as proxy:
            idle, stalled = [clients.enter_context(connection(proxy)) for _ in range(2)]
            assert ask(idle, "HEAD", f"/{bucket}")[0] == 200
            proxy.inject(Fault.STALLED)
            stalled.request("HEAD", f"/{bucket}", headers=SIGNED)
            deadline = time.monotonic() + 10
            while not proxy.faults:
                assert time.monotonic() < deadline
        assert set(threading.enumerate()) == before
        assert refuses_connections(proxy.server_port)


# The flaky filesystem


@pytest.fixture(params=["memory", "local"])
def target(request: pytest.FixtureRequest) -> fsspec.AbstractFileSystem:
    if request.param == "local":
        return fsspec.filesystem("local", auto_mkdir=True)
    return fsspec.filesystem("memory", global_store=False, skip_instance_cache=True)


@pytest.mark.parametrize(("mode", "done"), [("before", False), ("after", True)])
def test_a_flaky_call_fails_before_or_after_it_was_done(target: fsspec.AbstractFileSystem, tmp_path: Path, mode: str, *, done: bool):
    file = f"{tmp_path}/folder/file"
    with flaky_filesystem(target, every=1, mode=mode) as fs:
        with pytest.raises(OSError, match=r"injected.*pipe_file"):
            fs.pipe_file(file, b"content", mode="create")
        assert target.exists(file) is done
        with pytest.raises(TimeoutError, match=r"injected.*open"):
            fs.open(f"{tmp_path}/folder/opened", "wb")
        assert target.exists(f"{tmp_path}/folder/opened") is done


def test_every_third_flaky_call_fails_and_the_others_are_the_targets_own(target: fsspec.AbstractFileSystem, tmp_path: Path):
    files = [f"{tmp_path}/folder/{number}" for number in range(6)]
    outcomes: Counter[str] = Counter()
    with flaky_filesystem(target, every=3) as fs:
        for file in files:
            try:
                fs.pipe_file(file, b"0123456789")
            except OSError as error:
                outcomes[type(error).__name__] += 1
        assert outcomes == {"OSError": 1, "TimeoutError": 1}
        assert fs.faults == {("pipe_file", "before"): 1, ("pipe_file", "after"): 1}
        assert fs.find(f"{tmp_path}/folder") == [*files[:2], *files[3:]]
        assert fs.cat_file(files[0], start=2, end=5) == b"234"
        with pytest.raises(OSError, match="injected"):
            fs.info(files[0])
        with pytest.raises(FileExistsError):
            fs.pipe_file(files[0], b"other", mode="create")


@pytest.mark.parametrize("method", sorted(FAULTY))
def test_each_faulty_method_fails_when_it_is_the_one_that_shall(tmp_path: Path, method: str):
    arguments = {
        "pipe_file": [b"x"],
        "put_file": [str(tmp_path / "new")],
        "get_file": [str(tmp_path / "new")],
        "cp_file": ["/new"],
        "mv": ["/new"],
    }
    with flaky_filesystem(every=1, methods={method}) as fs, pytest.raises(OSError, match=rf"injected.*{method}"):
        getattr(fs, method)("/file", *arguments.get(method, []))


def test_flaky_urls_reach_the_filesystem_of_the_block_and_count_with_it():
    with flaky_filesystem(every=3, mode="before") as fs:
        fs.pipe_file("/folder/file", b"content")
        other, path = fsspec.url_to_fs("flaky:///folder/file")
        assert other.cat_file(path) == b"content"
        with pytest.raises(OSError, match="injected"):
            fs.cat_file("flaky:///folder/file")
        assert not fs.calls["isfile"]
        assert fs.isfile("/folder/file")
