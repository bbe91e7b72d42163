"""Every storage that a workspace may stand on, sound and unsound, each as an empty store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
import s3fs
from adlfs import AzureBlobFileSystem
from fsspec import AbstractFileSystem

from airflow_batchinfer.storage import LocalStore, RemoteStore, Store, azure, insisting
from tests.faults.azurite import Azurite, azurite
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


@pytest.fixture(scope="session")
def azure_server() -> Iterator[Azurite]:
    with azurite() as server:
        server.make_container(BUCKET)
        yield server


def azure_file_system(server: Azurite, **options: object) -> AzureBlobFileSystem:
    """As it is opened, but its own retries are off, as above."""
    fs = AzureBlobFileSystem(connection_string=server.connection_string, use_listings_cache=False, max_concurrency=8, **options)
    azure.tune(fs)
    fs.service_client._config.retry_policy.total_retries = 0  # noqa: SLF001
    return fs


@dataclass(frozen=True)
class Remote:
    """A server of storage, and a folder on it as anyone sees it who reaches it by some port."""

    port: int
    file_system: Callable[..., AbstractFileSystem]
    root: str

    def store(self, port: int | None = None, **options: object) -> RemoteStore:
        return RemoteStore(self.file_system(port or self.port, **options), self.root)


def s3_remote(server: S3Server) -> Remote:
    return Remote(server.port, lambda port, **options: s3_file_system(f"http://127.0.0.1:{port}", **options), f"{BUCKET}/{uuid4().hex}")


def azure_remote(server: Azurite) -> Remote:
    return Remote(server.port, lambda port, **options: azure_file_system(server.at(port), **options), f"{BUCKET}/{uuid4().hex}")


@dataclass
class Place:
    """What an empty store is made of."""

    tmp_path: Path
    stack: ExitStack
    server: Callable[[str], Any]


def local(place: Place) -> Store:
    return LocalStore(place.tmp_path / "store")


def memory(_: Place) -> Store:
    return RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")


def s3_itself(place: Place) -> Store:
    return s3_remote(place.server("s3")).store()


def azure_itself(place: Place) -> Store:
    return azure_remote(place.server("azure_server")).store()


def flaky_memory(place: Place) -> Store:
    fs = place.stack.enter_context(flaky_filesystem(every=3))
    fs.protocol = ("flaky", "memory")  # it is memory, and shares its ways: a file opened for writing is seen at once
    return RemoteStore(fs, f"/{uuid4().hex}")


def faulty(remote: Remote, stack: ExitStack) -> Store:
    return remote.store(stack.enter_context(faulty_proxy(remote.port, every=3, kinds=QUICK_FAULTS)).server_port)


def faulty_s3(place: Place) -> Store:
    return faulty(s3_remote(place.server("s3")), place.stack)


def faulty_azure(place: Place) -> Store:
    return faulty(azure_remote(place.server("azure_server")), place.stack)


STORES = {
    "local": local,
    "memory": memory,
    "s3": s3_itself,
    "azure": azure_itself,
    "flaky-memory": flaky_memory,
    "faulty-s3": faulty_s3,
    "faulty-azure": faulty_azure,
}


def params(*names: str) -> list[Any]:
    """Of stores; what needs Azurite, needs what `make test-services` installs."""
    return [pytest.param(name, marks=[pytest.mark.services] if "azure" in name else []) for name in names]


@pytest.fixture(params=params("s3", "azure"))
def remote(request: pytest.FixtureRequest) -> Remote:
    if request.param == "s3":
        return s3_remote(request.getfixturevalue("s3"))
    return azure_remote(request.getfixturevalue("azure_server"))


@contextmanager
def opened(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    with ExitStack() as stack:
        yield STORES[name](Place(tmp_path, stack, request.getfixturevalue))


@pytest.fixture(params=params(*STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(insisting, "FIRST_PAUSE_SECONDS", 0.002)
    with opened(request.param, tmp_path, request) as store:
        yield store


@pytest.fixture(params=params("local", "memory", "s3", "azure"))
def sound_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, tmp_path, request) as store:
        yield store
