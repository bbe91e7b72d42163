"""Object storage for tests with real processes: S3 and Azure, each on a server that a test file has to itself."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import boto3
import pytest

from tests.faults.azurite import Azurite, azurite
from tests.faults.s3_server import S3Server, s3_options, s3_server

BUCKET = "bucket"


@dataclass(frozen=True)
class Cloud:
    """A folder on a storage, as its server sees it."""

    port: int
    url: str
    put: Callable[[str, bytes], object]
    get: Callable[[str], bytes]
    names: Callable[[], list[str]]
    at: Callable[[int], dict[str, str]]

    @property
    def environment(self) -> dict[str, str]:
        """How a program is told where the storage is."""
        return self.at(self.port)


# Of the module, and so before any lab, which would take it for a process of its own.
@pytest.fixture(scope="module", params=["s3", "azure"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Server | Azurite]:
    with s3_server() if request.param == "s3" else azurite() as server:
        (server.make_bucket if request.param == "s3" else server.make_container)(BUCKET)
        yield server


@contextmanager
def s3(server: S3Server) -> Iterator[Cloud]:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client, folder = boto3.client("s3", endpoint_url=server.url, **keys), uuid4().hex
    yield Cloud(
        server.port,
        f"s3://{BUCKET}/{folder}",
        lambda path, content: client.put_object(Bucket=BUCKET, Key=f"{folder}/{path}", Body=content),
        lambda path: client.get_object(Bucket=BUCKET, Key=f"{folder}/{path}")["Body"].read(),
        lambda: [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET, Prefix=f"{folder}/").get("Contents", [])],
        lambda port: {"FSSPEC_S3": json.dumps(s3_options(f"http://127.0.0.1:{port}", timeout_seconds=20, botocore_retries=2))},
    )
    client.close()


@contextmanager
def azure(server: Azurite) -> Iterator[Cloud]:
    folder = uuid4().hex
    with server.container(BUCKET) as client:
        yield Cloud(
            server.port,
            f"abfs://{BUCKET}/{folder}",
            lambda path, content: client.upload_blob(f"{folder}/{path}", content, overwrite=True),
            lambda path: client.download_blob(f"{folder}/{path}").readall(),
            lambda: list(client.list_blob_names(name_starts_with=f"{folder}/")),
            lambda port: {"AZURE_STORAGE_CONNECTION_STRING": server.at(port).connection_string},
        )


@pytest.fixture
def cloud(server: S3Server | Azurite) -> Iterator[Cloud]:
    with s3(server) if isinstance(server, S3Server) else azure(server) as cloud:
        yield cloud
