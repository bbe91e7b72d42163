"""A connection in a URL: where it stands, what it is asked for, and that it stays wherever the URL goes."""

from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import FileDataset, list_items
from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.planning.overlap import overlap_faults
from airflow_batchinfer.storage import (
    RemoteStore,
    Store,
    connections,
    look_connections_up_with,
    open_file_system,
    open_output,
    open_store,
    split_connection,
    with_connection,
)

NAMES = [
    "s3://conn@bucket/key",
    "s3a://conn@bucket/key",
    "gs://conn@bucket",
    "gcs://conn@bucket/",
    "abfs://conn@container/a",
    "az://conn@c/a",
]
# Nothing before the @ here is a connection.
OTHERS = [
    "s3://bucket/key",
    "s3://bucket/a@b",
    "s3://bucket/a@b@c/d",
    "abfs://container@account.dfs.core.windows.net/a",
    "abfss://container@account.dfs.core.windows.net/a@b",
    "abfs://container@account.blob.core.windows.net",
    "abfss://container@account.dfs.core.chinacloudapi.cn/a",
    "sftp://user@host/path",
    "ssh://user:password@host/path",
    "ftp://user@host",
    "hdfs://user@namenode:8020/a",
    "https://user@host/file",
    "smb://user@host/share",
    "/home/me@work/in",
    "me@work",
    "file:///home/me@work",
    "memory://a@b",
    "dataset:a@b",
    "conn@bucket/key",
    "",
]


@pytest.mark.parametrize("url", NAMES)
def test_a_url_of_object_storage_may_name_a_connection(url: str):
    assert split_connection(url) == ("conn", url.replace("conn@", ""))


@pytest.mark.parametrize("url", OTHERS)
def test_elsewhere_an_at_sign_has_a_meaning_of_its_own_and_the_url_stays_as_it_is(url: str):
    assert split_connection(url) == (None, url)


def test_only_the_first_at_sign_ends_a_connection():
    assert split_connection("s3://conn@bucket/a@b") == ("conn", "s3://bucket/a@b")
    assert split_connection("s3://conn@bucket/@") == ("conn", "s3://bucket/@")


def test_an_at_sign_with_nothing_before_it_names_no_connection():
    connection, url = split_connection("s3://@bucket/key")
    assert (bool(connection), url) == (False, "s3://bucket/key")


connection_names = st.text(st.characters(codec="ascii", exclude_characters="@/:", categories=["L", "N", "P"]), min_size=1, max_size=12)
keys = st.text(max_size=12)


@given(st.sampled_from(["s3", "gs", "az"]), connection_names, keys)
def test_what_is_put_together_is_taken_apart_again(protocol: str, connection: str, key: str):
    url = f"{protocol}://bucket/{key}"
    named = with_connection(connection, url)
    assert split_connection(named) == (connection, url)
    assert with_connection(*split_connection(named)) == named


def test_keys_in_a_url_are_refused_and_not_told():
    with pytest.raises(ConfigError, match="keys do not belong into a URL") as raised:
        split_connection("s3://AKIA12345:secret@bucket/key")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("host", ["account.dfs.core.windows.net", "127.0.0.1:10000", "localhost:10000", "storage.example.org"])
def test_azure_s_long_form_names_a_container_and_no_connection(host: str):
    assert split_connection(f"abfs://container@{host}/a") == (None, f"abfs://container@{host}/a")


def test_without_a_connection_a_url_stays_as_it_is():
    assert with_connection(None, "s3://bucket/a") == "s3://bucket/a"


# A storage that keeps what it was opened with, in memory.


class Bucket(MemoryFileSystem):
    """Google's protocol over fsspec's memory, so that a connection may stand in its URLs."""

    protocol = ("gs", "gcs")
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec's own way
    pseudo_dirs = [""]  # noqa: RUF012 - as above

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.opened_with = options

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("gs://", "memory://")))

    def unstrip_protocol(self, name: str) -> str:
        return f"gs://{name.lstrip('/')}"


class Asked(list[tuple[str, str]]):
    """What was asked of the lookup."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    asked = Asked()

    def lookup(connection: str, url: str) -> dict[str, object]:
        asked.append((connection, url))
        return {"token": f"token of {connection}"}

    monkeypatch.setitem(_registry, "gs", Bucket)  # to be taken back, which fsspec's own function cannot
    monkeypatch.setattr(connections, "_lookup", [lookup])
    monkeypatch.setattr(Bucket, "store", {})
    yield asked
    Bucket.clear_instance_cache()


def test_what_a_connection_means_is_asked_with_the_url_without_it(asked: Asked):
    fs, path = open_file_system("gs://conn@bucket/a")
    assert asked == [("conn", "gs://bucket/a")]
    assert (path, fs.opened_with["token"]) == ("/bucket/a", "token of conn")


def test_what_is_said_with_the_call_counts_more_than_the_connection(asked: Asked):
    fs, _ = open_file_system("gs://conn@bucket/a", token="mine", use_listings_cache=False)
    assert fs.opened_with["token"] == "mine"


def test_without_a_connection_nothing_is_asked(asked: Asked):
    fs, _ = open_file_system("gs://bucket/a")
    assert (asked, fs.opened_with) == ([], {})


def test_two_connections_to_one_bucket_are_two_file_systems(asked: Asked):
    first, second = (open_file_system(f"gs://{name}@bucket")[0] for name in ("one", "two"))
    assert (first.opened_with["token"], second.opened_with["token"]) == ("token of one", "token of two")


@pytest.mark.parametrize("open_it", [open_store, open_output])
def test_a_store_keeps_the_connection_in_its_url_so_that_it_can_be_opened_again(asked: Asked, open_it: Callable[[str], Store]):
    store = open_it("gs://conn@bucket/ws/")
    assert store.url == "gs://conn@bucket/ws"
    store.create("a", b"x")
    assert open_it(store.url).read("a") == b"x"
    assert {connection for connection, _ in asked} == {"conn"}


def test_a_store_s_own_paths_know_nothing_of_the_connection(asked: Asked):
    store = open_store("gs://conn@bucket/ws")
    store.create("deep/a", b"x")
    assert (list(store.find("")), store.children("deep")) == (["deep/a"], ["a"])


@pytest.mark.parametrize("path", ["gs://conn@bucket/in", "gs://conn@bucket/in/*/b@c", "gs://conn@bucket/in/a/b@c"])
def test_items_keep_the_connection_so_that_a_node_can_fetch_them(asked: Asked, path: str):
    open_output("gs://conn@bucket/in").create("a/b@c", b"12345")
    (item,) = list_items(FileDataset.from_files(path))
    assert (item.path, item.size) == ("gs://conn@bucket/in/a/b@c", 5)
    fs, there = open_file_system(item.path)
    assert fs.cat_file(there) == b"12345"


def test_items_of_several_paths_come_in_order_and_once_for_each_connection(asked: Asked):
    for name in ("a", "b"):
        open_output("gs://conn@bucket/in").create(name, b"x")
    found = list_items(FileDataset.from_files(["gs://conn@bucket/in/b", "gs://conn@bucket/in", "gs://bucket/in/a"]))
    assert [item.path for item in found] == ["gs://bucket/in/a", "gs://conn@bucket/in/a", "gs://conn@bucket/in/b"]


def test_an_input_that_is_not_there_is_named_with_its_connection(asked: Asked):
    with pytest.raises(NotFoundError, match=r"the input 'gs://conn@bucket/nowhere' does not exist"):
        list(list_items(FileDataset.from_files("gs://conn@bucket/nowhere")))
    assert list(list_items(FileDataset.from_files("gs://conn@bucket/nowhere"), may_be_missing=True)) == []


def test_a_folder_inside_an_input_is_one_whatever_connection_it_is_reached_by():
    dataset = FileDataset.from_files("s3://one@bucket/in")
    assert overlap_faults([dataset], {"the output folder": "s3://two@bucket/in/out"}, "rows.txt")
    assert overlap_faults([dataset], {"the output folder": "s3://bucket/in"}, "rows.txt")
    assert not overlap_faults([dataset], {"the output folder": "s3://one@bucket/out"}, "rows.txt")


def test_outside_airflow_a_connection_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "_lookup", [connections._unknown])  # noqa: SLF001 - as it is in a fresh process
    told = r"s3://bucket/in: the connection 'conn' is Airflow's, and this is not Airflow: give the URL without it"
    for use in (open_file_system, open_store, open_output, lambda url: list(list_items(FileDataset.from_files(url)))):
        with pytest.raises(ConfigError, match=told):
            use("s3://conn@bucket/in")


def test_whoever_knows_connections_says_so_once_for_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "_lookup", [connections._unknown])  # noqa: SLF001 - so that it is taken back
    look_connections_up_with(lambda connection, url: {"of": connection, "for": url})
    assert connections.options_of("c", "s3://b") == {"of": "c", "for": "s3://b"}


def test_a_store_that_was_opened_without_one_has_none_in_its_url():
    assert RemoteStore(fsspec.filesystem("memory"), "/x").url == "memory:///x"
