"""Every storage that a workspace may stand on, sound and unsound, each as an empty store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
import s3fs

from airflow_batchinfer.storage import LocalStore, RemoteStore, Store, insisting
from tests.faults.flaky_filesystem import flaky_filesystem
from tests.faults.proxy import Fault, faulty_proxy
from tests.faults.s3_server import S3Server, s3_options, s3_server

BUCKET = "contract"
# Faults after which an answer is still possible at once; a stalled connection says nothing new and takes its time.
QUICK_FAULTS = (Fault.ERROR, Fault.DONE_BUT_ERROR, Fault.THROTTLED, Fault.DONE_BUT_CLOSED)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.make_bucket(BUCKET)
        yield server


def s3_file_system(url: str, kind: type[s3fs.S3FileSystem] = s3fs.S3FileSystem, **options: object) -> s3fs.S3FileSystem:
    """Botocore's own retries are off: they wait long, and ours are the ones in question."""
    return kind(**s3_options(url, timeout_seconds=20, botocore_retries=0), use_listings_cache=False, **options)


def s3_store(url: str) -> RemoteStore:
    return RemoteStore(s3_file_system(url), f"{BUCKET}/{uuid4().hex}")


def local(tmp_path: Path, _s3: Callable[[], S3Server], _stack: ExitStack) -> Store:
    return LocalStore(tmp_path / "store")


def memory(_tmp_path: Path, _s3: Callable[[], S3Server], _stack: ExitStack) -> Store:
    return RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")


def s3_itself(_tmp_path: Path, s3: Callable[[], S3Server], _stack: ExitStack) -> Store:
    return s3_store(s3().url)


def flaky_memory(_tmp_path: Path, _s3: Callable[[], S3Server], stack: ExitStack) -> Store:
    fs = stack.enter_context(flaky_filesystem(every=3))
    fs.protocol = ("flaky", "memory")  # it is memory, and shares its ways: a file opened for writing is seen at once
    return RemoteStore(fs, f"/{uuid4().hex}")


def faulty_s3(_tmp_path: Path, s3: Callable[[], S3Server], stack: ExitStack) -> Store:
    proxy = stack.enter_context(faulty_proxy(s3().port, every=3, kinds=QUICK_FAULTS))
    return s3_store(proxy.url)


STORES = {"local": local, "memory": memory, "s3": s3_itself, "flaky-memory": flaky_memory, "faulty-s3": faulty_s3}


@contextmanager
def opened(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    with ExitStack() as stack:
        yield STORES[name](tmp_path, lambda: request.getfixturevalue("s3"), stack)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(insisting, "FIRST_PAUSE_SECONDS", 0.002)
    with opened(request.param, tmp_path, request) as store:
        yield store


@pytest.fixture(params=["local", "memory", "s3"])
def sound_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path, request) as store:
        yield store
