"""Models that come from servers, go to S3, and are killed on their way: what is shown is whole."""

import gzip
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from airflow_batchinfer.errors import BatchInferError, ConfigError, NotFoundError, StorageError
from airflow_batchinfer.registry import ModelRegistry, downloads
from airflow_batchinfer.storage import insisting
from tests.faults.s3_server import S3Server, s3_options, s3_server
from tests.integration.lab import COMMAND, Ended, Lab, Program
from tests.integration.leftovers import wait_until

BUCKET = "models"
MANY = 600


def archive(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return stream.getvalue()


class Server(ThreadingHTTPServer):
    """Answers each path as a test says, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answerer)
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, **answers: bytes) -> None:
        for name, content in answers.items():
            self.answers[f"/{name}"] = answer(content)

    def half(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer half of a file, and then nothing."""
        cut_off(b"x" * 3_000_000, 6_000_000)(handler)
        self.go_on.wait(30)


class _Answerer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(self.path)
        self.server.answers.get(path, answer(b"no", 404))(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def answer(content: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(content)), **named}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return give


def cut_off(content: bytes, said: int) -> Callable[[BaseHTTPRequestHandler], None]:
    return answer(content, Content_Length=str(said))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def registry(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    monkeypatch.setattr(insisting, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("tempfile.tempdir", str(lab.temporary))
    return ModelRegistry(lab.workspace)


def files_of(registry: ModelRegistry, lab: Lab, reference: str) -> dict[str, bytes]:
    place = registry.download(reference, lab.root / "downloaded" / reference)
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


# By http.


def test_a_file_and_an_archive_come_by_http(registry: ModelRegistry, server: Server, lab: Lab):
    server.answers["/a/weights%20v2.bin"] = answer(b"weights")
    server.files(**{"mnist-tf.tar.gz": archive(**{"mnist-tf.model.index": b"1", "deep/b": b"2"})})
    assert registry.register("mnist", f"{server.url}/a/weights%20v2.bin?token=secret#part").version == 1
    assert registry.register("mnist", f"{server.url}/mnist-tf.tar.gz").version == 2
    assert registry.register("mnist", f"{server.url}/mnist-tf.tar.gz").version == 2
    assert files_of(registry, lab, "mnist:1") == {"weights v2.bin": b"weights"}
    assert files_of(registry, lab, "mnist:2") == {"mnist-tf.model.index": b"1", "deep/b": b"2"}
    assert server.asked[0] == "/a/weights%20v2.bin?token=secret"
    assert list(lab.temporary.iterdir()) == []


def test_a_redirect_is_followed_and_the_name_is_that_of_the_first_address(registry: ModelRegistry, server: Server, lab: Lab):
    server.answers["/model.bin"] = answer(b"", 302, Location="/elsewhere/8f3a?signature=x")
    server.answers["/elsewhere/8f3a"] = answer(b"weights")
    registry.register("mnist", f"{server.url}/model.bin")
    assert files_of(registry, lab, "mnist") == {"model.bin": b"weights"}


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        (answer(b"", 404), NotFoundError, r"/m\.bin does not exist: the server answers 404 Not Found; check the address"),
        (answer(b"", 410), NotFoundError, "answers 410 Gone"),
        (answer(b"", 401), ConfigError, "answers 401 Unauthorized; check the address, and whether it may be read without a login"),
        (answer(b"", 403), ConfigError, "answers 403 Forbidden; check"),
        (answer(b"", 204), ConfigError, "answers 204 No Content"),
        (answer(b"", 302, Location="/m.bin"), ConfigError, "cannot be downloaded: Exceeded maximum allowed redirects"),
        (answer(b"", 302, Location="file:///etc/passwd"), ConfigError, "cannot be downloaded: .*file://"),
        (answer(b"x", Content_Encoding="br"), ConfigError, "packed by br although it was asked not to"),
    ],
)
def test_an_answer_that_is_no_file_is_told_at_once(
    registry: ModelRegistry, server: Server, given: Callable[[BaseHTTPRequestHandler], None], kind: type[BatchInferError], told: str
):
    server.answers["/m.bin"] = given
    with pytest.raises(kind, match=told) as caught:
        registry.register("mnist", f"{server.url.replace('://', '://user:password@')}/m.bin?signature=secret")
    assert f"{server.url}/m.bin" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)
    assert len(server.asked) <= 21  # no more than redirects ask
    assert registry.names() == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (cut_off(b"half", 8), r"peer closed connection .*received 4 bytes, expected 8"),
        (answer(b"", 500), "answers 500"),
        (answer(b"", 503), "answers 503"),
        (answer(b"", 429), "answers 429"),
    ],
)
def test_what_may_work_later_is_asked_for_again_and_then_told(
    registry: ModelRegistry, server: Server, lab: Lab, given: Callable[[BaseHTTPRequestHandler], None], told: str
):
    server.answers["/m.bin"] = given
    with pytest.raises(StorageError, match=rf"storage failed at {server.url}/m\.bin: .*{told}") as caught:
        registry.register("mnist", f"{server.url}/m.bin?signature=secret")
    assert "secret" not in str(caught.value)
    assert len(server.asked) == insisting.TRIES
    assert registry.names() == []
    assert list(lab.temporary.iterdir()) == []


def test_a_download_that_is_cut_off_once_is_whole_in_the_end(registry: ModelRegistry, server: Server, lab: Lab):
    def at_last(handler: BaseHTTPRequestHandler) -> None:
        (cut_off(b"half of it", 12) if len(server.asked) < 3 else answer(b"weights"))(handler)

    server.answers["/m.bin"] = at_last
    registry.register("mnist", f"{server.url}/m.bin")
    assert files_of(registry, lab, "mnist") == {"m.bin": b"weights"}


def test_a_server_that_falls_silent_is_told_with_its_address(registry: ModelRegistry, server: Server, monkeypatch: pytest.MonkeyPatch):
    server.answers["/m.bin"] = server.half
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.05)
    with pytest.raises(StorageError, match=r"storage failed at http://127.0.0.1:\d+/m\.bin: .*timed out"):
        registry.register("mnist", f"{server.url}/m.bin")


def test_nobody_at_an_address_is_told_with_it(registry: ModelRegistry):
    with pytest.raises(StorageError, match=r"storage failed at http://127.0.0.1:9/m\.bin: .*refused"):
        registry.register("mnist", "http://127.0.0.1:9/m.bin")


@pytest.mark.parametrize("path", ["", "/", "/models/", "/..", "/%2E%2E", "/a%2Fb", "/a%00b"])
def test_an_address_that_names_no_file_is_refused(registry: ModelRegistry, server: Server, path: str):
    with pytest.raises(ConfigError, match="must name a file or a folder"):
        registry.register("mnist", f"{server.url}{path}")
    assert server.asked == []


def test_a_packed_file_comes_as_it_is_whatever_the_server_calls_it(registry: ModelRegistry, server: Server, lab: Lab):
    server.answers["/m.tgz"] = answer(archive(a=b"1"), Content_Encoding="x-gzip")
    server.answers["/w.gz"] = answer(gzip.compress(b"w"))
    registry.register("mnist", f"{server.url}/m.tgz")
    registry.register("other", f"{server.url}/w.gz")
    assert files_of(registry, lab, "mnist") == {"a": b"1"}
    assert gzip.decompress(files_of(registry, lab, "other")["w.gz"]) == b"w"


# Killed.


def models(lab: Lab, *arguments: object, **how: object) -> Ended:
    return lab.batchinfer("models", *arguments, "--workspace", lab.workspace_url, **how)


def start_register(lab: Lab, path: object) -> Program:
    return lab.start_program([*COMMAND, "models", "register", "mnist", str(path), "--workspace", lab.workspace_url])


def placed(lab: Lab) -> list[Path]:
    return list(Path(lab.workspace_url).glob("models/mnist/1/files-*/model/*"))


@pytest.mark.parametrize("count", [1, 300])
def test_a_registration_that_is_killed_in_the_middle_never_shows_as_a_version(lab: Lab, count: int):
    folder = lab.root / "model"
    lab.items(*(f"{number:04d}" for number in range(MANY)), folder=folder)
    command = start_register(lab, folder)
    wait_until(lambda: len(placed(lab)) >= count, "some files are there")
    lab.kill(command.pid)
    assert command.wait().code == -9
    assert count <= len(placed(lab)) < MANY
    assert models(lab, "list").stdout == "no models are registered\n"
    assert models(lab, "show", "mnist").code == 2
    again = models(lab, "register", "mnist", folder, "--json")
    assert json.loads(again.stdout)["version"] == 1
    assert models(lab, "download", "mnist", lab.root / "back").code == 0
    assert len(list((lab.root / "back" / "model").iterdir())) == MANY


def test_a_registration_that_is_killed_while_it_downloads_never_shows_as_a_version(lab: Lab, server: Server):
    server.answers["/m.bin"] = server.half
    command = start_register(lab, f"{server.url}/m.bin")
    wait_until(lambda: server.asked, "it downloads")
    lab.kill(command.pid)
    assert command.wait().code == -9
    assert models(lab, "list").stdout == "no models are registered\n"


def test_a_registration_that_is_interrupted_leaves_nothing_behind(lab: Lab, server: Server):
    server.answers["/m.bin"] = server.half
    command = start_register(lab, f"{server.url}/m.bin")
    wait_until(lambda: list(lab.temporary.glob("*/m.bin")), "it downloads")
    command.send(2)
    assert command.wait(5).code == 130
    assert list(lab.temporary.iterdir()) == []
    assert not Path(lab.workspace_url, "models").exists()


def test_a_download_that_is_killed_in_the_middle_never_shows_as_a_folder(lab: Lab):
    folder = lab.root / "model"
    lab.items(*(f"{number:04d}" for number in range(MANY)), folder=folder)
    assert models(lab, "register", "mnist", folder).code == 0
    command = lab.start_program([*COMMAND, "models", "download", "mnist", str(lab.root / "back"), "--workspace", lab.workspace_url])
    wait_until(lambda: len(list(lab.root.glob(".batchinfer-tmp-*/model/*"))) > 50, "some files are there")
    lab.kill(command.pid)
    assert command.wait().code == -9
    assert not (lab.root / "back").exists()
    assert models(lab, "download", "mnist", lab.root / "back").stdout == f"{lab.root / 'back'}\n"
    assert len(list((lab.root / "back" / "model").iterdir())) == MANY


# The command line.


def test_the_command_line_registers_lists_and_downloads(lab: Lab):
    (lab.root / "mnist.tgz").write_bytes(archive(a=b"1"))
    options = ("--tag", "stage=test", "--property", "accuracy=0.97", "--description", "of\x1b[2J tonight")
    assert models(lab, "register", "mnist", "mnist.tgz", *options).stdout == "mnist:1\n"
    assert models(lab, "register", "mnist", "mnist.tgz", "--always-new-version").stdout == "mnist:2\n"
    heads, first, second = models(lab, "list").stdout.splitlines()
    assert heads.split() == ["model", "bytes", "registered", "digest", "tags", "properties", "description"]
    assert first.split()[5:] == ["stage=test", "accuracy=0.97", "of", "[2J", "tonight"]
    assert second.split()[0] == "mnist:2"
    shown = json.loads(models(lab, "show", "mnist:1").stdout)
    assert (shown["tags"], shown["properties"], shown["description"]) == ({"stage": "test"}, {"accuracy": "0.97"}, "of\x1b[2J tonight")
    assert models(lab, "download", "mnist:1", "here").stdout == f"{lab.root / 'here'}\n"
    assert (lab.root / "here" / "a").read_bytes() == b"1"
    again = models(lab, "download", "mnist:1", "here")
    assert (again.code, again.stderr) == (
        1,
        f"batchinfer: {lab.root / 'here'} exists and is not an empty folder; remove it, or choose another\n",
    )
    wrong = models(lab, "register", "mnist", "mnist.tgz", "--property", "x", "--tag", "y")
    assert wrong.code == 2
    assert "2 things are wrong" in wrong.stderr


def test_a_hostile_archive_is_refused_by_the_command_line_with_every_fault(lab: Lab):
    (lab.root / "m.tgz").write_bytes(archive(**{"../a": b"", "/b": b"", "good": b""}))
    ended = models(lab, "register", "mnist", "m.tgz")
    assert ended.code == 2
    assert "its member '../a' leads out of its folder" in ended.stderr
    assert "its member '/b' is an absolute path" in ended.stderr
    assert not Path(lab.workspace_url, "models").exists()
    assert list(lab.temporary.iterdir()) == []


def test_a_script_finds_the_files_of_an_archive_in_azureml_model_dir(lab: Lab):
    lab.many(1)
    (lab.root / "m.tgz").write_bytes(archive(**{"mnist-tf.model.index": b"learned"}))
    assert models(lab, "register", "mnist", "m.tgz").code == 0
    script = lab.script(
        "import os\nfrom pathlib import Path\ndef run(items):\n"
        "    return [Path(os.environ['AZUREML_MODEL_DIR'], 'mnist-tf.model.index').read_text()]\n"
    )
    lab.run(script, "--model", "mnist")
    assert lab.rows == ["learned"]


# On S3.


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.make_bucket(BUCKET)
        yield server


@contextmanager
def s3_files(s3: S3Server, folder: str) -> Iterator[fsspec.AbstractFileSystem]:
    fs = fsspec.filesystem("s3", **s3_options(s3.url), use_listings_cache=False)
    fs.pipe_file(f"{BUCKET}/{folder}/mnist/deep/b.bin", b"x" * (1 << 20))
    fs.pipe_file(f"{BUCKET}/{folder}/mnist/a", b"1")
    fs.pipe_file(f"{BUCKET}/{folder}/m.tgz", archive(c=b"3"))
    yield fs


@pytest.mark.services
def test_a_folder_and_an_archive_come_from_s3_into_a_workspace_on_s3_and_back(lab: Lab, s3: S3Server):
    lab.workspace_url = f"s3://{BUCKET}/{lab.mark}/workspace"
    how = {"environment": {"FSSPEC_S3": json.dumps(s3_options(s3.url, botocore_retries=2))}}
    with s3_files(s3, lab.mark) as fs:
        for path in ("mnist", "m.tgz"):
            ended = models(lab, "register", "mnist", f"s3://{BUCKET}/{lab.mark}/{path}", **how)
            assert ended.code == 0, ended.stderr
        fs.pipe_file(f"{BUCKET}/{lab.mark}/bad/a/../../b", b"x")
    assert models(lab, "download", "mnist:1", "first", **how).code == 0
    assert (lab.root / "first" / "mnist" / "deep" / "b.bin").stat().st_size == 1 << 20
    assert (lab.root / "first" / "mnist" / "a").read_bytes() == b"1"
    assert models(lab, "download", "mnist:2", "second", **how).code == 0
    assert (lab.root / "second" / "c").read_bytes() == b"3"
    bad = models(lab, "register", "mnist", f"s3://{BUCKET}/{lab.mark}/bad", **how)
    assert (bad.code, "leads out of its folder by '..'; rename it" in bad.stderr) == (2, True), bad.stderr
    missing = models(lab, "register", "mnist", f"s3://{BUCKET}/{lab.mark}/nothing", **how)
    assert (missing.code, "does not exist" in missing.stderr) == (2, True), missing.stderr
    assert list(lab.temporary.iterdir()) == []
