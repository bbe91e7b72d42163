"""What Azure does otherwise than other storage, and what its library would make of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from adlfs import AzureBlobFileSystem

from airflow_batchinfer.datasets import FileDataset, list_items
from airflow_batchinfer.errors import ConfigError, NotFoundError, StorageError
from airflow_batchinfer.registry.downloads import download
from airflow_batchinfer.storage import RemoteStore, open_file_system, open_store, probe
from airflow_batchinfer.workspace import Workspace
from tests.contract.conftest import BUCKET, azure_file_system, azure_remote
from tests.faults.proxy import Fault, faulty_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from azure.storage.blob import ContainerClient

    from tests.faults.azurite import Azurite

pytestmark = pytest.mark.services


@pytest.fixture(autouse=True)
def use(azure_server: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Lets the environment say where Azure is, in the way of Azure's own tools; file systems are kept whatever it says."""

    def use(connection_string: str) -> None:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string)
        AzureBlobFileSystem.clear_instance_cache()

    use(azure_server.connection_string)
    yield use
    AzureBlobFileSystem.clear_instance_cache()


@pytest.fixture
def url(azure_server: Azurite) -> str:
    """An empty folder on Azure."""
    return f"abfs://{azure_remote(azure_server).root}"


@pytest.fixture
def raw(azure_server: Azurite) -> Iterator[ContainerClient]:
    """The container, without any of what is tried here."""
    with azure_server.container(BUCKET) as client:
        yield client


def inside(url: str) -> str:
    return url.removeprefix(f"abfs://{BUCKET}/")


def names(url: str, inside: str = "") -> list[str]:
    return [item.path.removeprefix(f"{url}/") for item in list_items(FileDataset.from_files(f"{url}/{inside}".rstrip("/")))]


def put_a_hierarchy(raw: ContainerClient, folder: str) -> None:
    """As an account with a hierarchical namespace lists it, and as some tools leave their folders behind in others."""
    for name in ("dir", "dir/deep", "empty"):
        raw.upload_blob(f"{folder}/{name}", b"", metadata={"hdi_isfolder": "true"})
    raw.upload_blob(f"{folder}/Dir", b"", metadata={"Hdi_isfolder": "true"})
    raw.upload_blob(f"{folder}/slash/", b"")
    for name in ("dir/deep/2", "dir/1", "dir-1", "slash/3"):
        raw.upload_blob(f"{folder}/{name}", name.encode())


FILES_OF_THE_HIERARCHY = ["dir-1", "dir/1", "dir/deep/2", "slash/3"]


def test_blobs_that_stand_for_folders_are_no_items(url: str, raw: ContainerClient):
    put_a_hierarchy(raw, inside(url))
    assert names(url) == FILES_OF_THE_HIERARCHY
    assert names(url, "**/*") == FILES_OF_THE_HIERARCHY
    assert names(url, "*") == ["dir-1"]
    assert names(url, "dir") == ["dir/1", "dir/deep/2"]
    assert names(url, "empty") == []


def test_blobs_that_stand_for_folders_are_no_files_of_a_store_and_go_with_their_folder(url: str, raw: ContainerClient):
    put_a_hierarchy(raw, inside(url))
    store = open_store(url)
    assert list(store.find("")) == FILES_OF_THE_HIERARCHY
    assert store.children("") == ["Dir", "dir", "dir-1", "empty", "slash"]
    assert store.children("dir") == ["1", "deep"]
    store.delete("dir")
    left = {blob.name.removeprefix(f"{inside(url)}/") for blob in raw.list_blobs(name_starts_with=f"{inside(url)}/")}
    assert left == {"Dir", "dir-1", "empty", "slash/", "slash/3"}


def test_a_folder_that_must_be_empty_to_go_goes_last(url: str, raw: ContainerClient, azure_server: Azurite):
    put_a_hierarchy(raw, inside(url))
    fs = azure_file_system(azure_server, skip_instance_cache=True)
    removed: list[str] = []
    remove = fs.rm_file

    def note(path: str) -> None:
        remove(path)
        removed.append(path)

    fs.rm_file = note
    RemoteStore(fs, url.removeprefix("abfs://")).delete("dir")
    assert [path.rpartition("/")[2] for path in removed[2:]] == ["deep", "dir"]


def test_a_model_s_folder_is_brought_without_the_blobs_that_stand_for_folders(url: str, raw: ContainerClient, tmp_path: Path):
    put_a_hierarchy(raw, inside(url))
    brought = download(url, tmp_path)
    assert sorted(str(path.relative_to(brought)) for path in brought.rglob("*") if path.is_file()) == FILES_OF_THE_HIERARCHY


def test_a_listing_of_more_than_one_page_is_whole_and_in_order(url: str, raw: ContainerClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("airflow_batchinfer.storage.azure.PAGE_BLOBS", 10)
    written = [f"{number % 7}/{number:03d}" for number in range(95)]
    for name in written:
        raw.upload_blob(f"{inside(url)}/{name}", name.encode())
    assert names(url) == sorted(written)
    store = open_store(url)
    assert list(store.find("")) == sorted(written)
    assert store.children("3") == sorted(name[2:] for name in written if name.startswith("3/"))


def test_a_listing_whose_every_third_request_fails_is_the_same(
    url: str, raw: ContainerClient, azure_server: Azurite, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("airflow_batchinfer.storage.azure.PAGE_BLOBS", 3)
    for number in range(20):
        raw.upload_blob(f"{inside(url)}/{number:02d}", b"x" * number)
    found = list(list_items(FileDataset.from_files(url)))
    with faulty_proxy(azure_server.port, every=3, kinds=(Fault.ERROR, Fault.THROTTLED, Fault.DONE_BUT_CLOSED)) as proxy:
        use(azure_server.at(proxy.server_port).connection_string)
        assert list(list_items(FileDataset.from_files(url))) == found
        assert proxy.faults


def test_an_item_s_version_is_its_etag_in_a_listing_and_in_a_look_at_it_and_changes_with_its_bytes(url: str, raw: ContainerClient):
    raw.upload_blob(f"{inside(url)}/a", b"one")
    (listed,) = list_items(FileDataset.from_files(url))
    (looked_at,) = list_items(FileDataset.from_files(f"{url}/a"))
    assert listed == looked_at
    assert listed.version.startswith("0x")
    raw.upload_blob(f"{inside(url)}/a", b"two", overwrite=True)
    (changed,) = list_items(FileDataset.from_files(url))
    assert (changed.path, changed.size) == (listed.path, listed.size)
    assert changed.version != listed.version


@pytest.mark.parametrize("name", ["ends with #", "ends with ?", "a\ttab", "a\nnewline", "x?versionid=1"])
def test_a_name_that_the_library_takes_for_another_is_refused_and_nothing_is_read_or_written_in_its_place(
    url: str, raw: ContainerClient, name: str
):
    raw.upload_blob(f"{inside(url)}/{name}", b"theirs")
    with pytest.raises(ConfigError, match="a name on Azure may not end with"):
        names(url)
    store = open_store(url)
    with pytest.raises(ConfigError, match="rename it"):
        store.create(name, b"ours")
    with pytest.raises(ConfigError, match="rename it"), store.writer(name):
        pass
    assert [blob.name for blob in raw.list_blobs(name_starts_with=inside(url))] == [f"{inside(url)}/{name}"]


def test_a_folder_whose_name_ends_with_a_space_or_begins_like_another_s_is_listed_alone(url: str, raw: ContainerClient):
    for name in ("a /1", "a/2", "a-b/3", "a.txt"):
        raw.upload_blob(f"{inside(url)}/{name}", b"x")
    store = open_store(url)
    assert [store.children(folder) for folder in ("a ", "a", "a-b")] == [["1"], ["2"], ["3"]]
    assert list(store.find("a ")) == ["a /1"]


def test_the_long_form_of_a_url_keeps_its_account_in_every_path(url: str, raw: ContainerClient):
    long = f"abfs://{BUCKET}@devstoreaccount1.dfs.core.windows.net/{inside(url)}"
    raw.upload_blob(f"{inside(url)}/in/a", b"x")
    assert [item.path for item in list_items(FileDataset.from_files(f"{long}/in"))] == [f"{long}/in/a"]
    assert open_store(long).url == long
    assert open_file_system(f"{long}/in/a")[1] == f"{url.removeprefix('abfs://')}/in/a"


def test_a_container_that_does_not_exist_is_told_at_once_with_its_name():
    with pytest.raises(ConfigError, match=r"the workspace abfs://no-such-container/ws cannot be used: .*container does not exist"):
        Workspace.at("abfs://no-such-container/ws")
    with pytest.raises(NotFoundError, match="abfs://no-such-container/in' does not exist"):
        list(list_items(FileDataset.from_files("abfs://no-such-container/in")))
    assert open_store("abfs://no-such-container/ws").children("") == []


def test_a_key_that_is_wrong_is_told_at_once_and_not_asked_again(azure_server: Azurite, use: Callable[[str], None]):
    with faulty_proxy(azure_server.port, every=0) as proxy:
        use(azure_server.at(proxy.server_port).connection_string.replace("Eby8", "AAAA"))
        with pytest.raises(ConfigError, match=r"cannot be used: .*authenticate"):
            Workspace.at(f"abfs://{BUCKET}/wrong-key")
        with pytest.raises(StorageError, match=r"Forbidden.*Check the address and the credentials"):
            list(list_items(FileDataset.from_files(f"abfs://{BUCKET}/wrong-key")))
        assert proxy.requests <= 4


def test_what_storage_says_of_a_failure_is_told_without_its_ids(azure_server: Azurite, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("airflow_batchinfer.storage.insisting.FIRST_PAUSE_SECONDS", 0.001)
    with faulty_proxy(azure_server.port, every=1, kinds=(Fault.ERROR,)) as proxy:
        with pytest.raises(StorageError) as raised:
            azure_remote(azure_server).store(proxy.server_port).read("x")
        assert "\n" not in str(raised.value)
        assert "internal error" in str(raised.value)


def test_a_workspace_on_azure_passes_the_probe_and_keeps_no_trace_of_it(url: str, raw: ContainerClient):
    probe(Workspace.at(url).store)
    assert list(raw.list_blobs(name_starts_with=inside(url))) == []


@pytest.mark.parametrize(("own", "after"), [(logging.NOTSET, logging.WARNING), (logging.DEBUG, logging.DEBUG)])
def test_azure_s_library_does_not_tell_every_request_in_the_log_unless_somebody_wants_that(
    url: str, monkeypatch: pytest.MonkeyPatch, own: int, after: int
):
    requests = logging.getLogger("azure")
    monkeypatch.setattr(requests, "level", own)
    open_file_system(url)
    assert requests.level == after
