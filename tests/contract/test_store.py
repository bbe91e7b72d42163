"""What every store promises, asked of each of them, also when the storage behind it fails every third call."""

from __future__ import annotations

import gc
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import s3fs

from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.storage import LocalStore, RemoteStore, Store, copy_file, copy_tree, probe
from tests.contract.conftest import BUCKET, Remote, s3_file_system
from tests.faults.proxy import Fault, FaultyProxy, faulty_proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.s3_server import S3Server

AWKWARD_NAMES = [
    "with a space",
    "ümläut 日本",
    "per%20cent",
    "plus+and&",
    "quote'\"",
    "brackets[1]{x}",
    "star*",
    "hash#1",
    "-dash",
    ".hidden",
]
RACERS = 8


def write(store: Store, path: str, content: bytes) -> None:
    """A stream cannot be asked again in its middle, so who writes one asks again; what it replaces must stay until then."""
    for _ in range(50):
        try:
            with store.writer(path) as stream:
                stream.write(content)
            return
        except StorageError:
            continue
    raise AssertionError("no stream came to its end")


def raised(do: Callable[[], object]) -> str | None:
    try:
        do()
    except Exception as error:  # noqa: BLE001 - which one is the question
        return type(error).__name__
    return None


def race(store: Store, path: str) -> list[str | None]:
    start = threading.Barrier(RACERS)

    def create(racer: int) -> str | None:
        start.wait(30)
        return raised(lambda: store.create(path, f"racer {racer}".encode()))

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(create, range(RACERS)))


def rounds(store: Store, of_local: int) -> int:
    return of_local if isinstance(store, LocalStore) or "memory" in store.url else max(2, of_local // 8)


def test_of_racers_who_create_one_file_exactly_one_wins_and_the_others_are_told(store: Store):
    for number in range(rounds(store, 32)):
        path = f"races/{number}"
        outcomes = race(store, path)
        winners = [racer for racer, error in enumerate(outcomes) if error is None]
        assert len(winners) == 1, outcomes
        assert set(outcomes) == {None, "FileExistsError"}
        assert store.read(path) == f"racer {winners[0]}".encode()


def test_creating_the_same_bytes_again_is_harmless(store: Store):
    for _ in range(4):
        store.create("record", b"mine")
    assert store.read("record") == b"mine"


def test_creating_other_bytes_is_refused_and_changes_nothing(store: Store):
    store.create("record", b"mine")
    for _ in range(4):
        with pytest.raises(FileExistsError):
            store.create("record", b"yours")
    assert store.read("record") == b"mine"


def test_an_empty_file_can_be_created_and_is_there(store: Store):
    store.create("empty", b"")
    assert store.read("empty") == b""
    with pytest.raises(FileExistsError):
        store.create("empty", b"not any more")


def test_a_file_that_was_deleted_can_be_created_anew(store: Store):
    store.create("record", b"first")
    store.delete("record")
    store.create("record", b"second")
    assert store.read("record") == b"second"


def test_what_a_stream_wrote_is_read_back(store: Store):
    content = bytes(range(256)) * 1000
    write(store, "stream", content)
    assert store.read("stream") == content


def test_a_stream_replaces_what_was_there(store: Store):
    write(store, "stream", b"a longer first text")
    write(store, "stream", b"second")
    assert store.read("stream") == b"second"


def test_a_stream_into_which_nothing_was_written_makes_an_empty_file(store: Store):
    write(store, "stream", b"")
    assert store.read("stream") == b""


class Stopped(Exception):
    pass


@pytest.mark.parametrize("reason", [Stopped, KeyboardInterrupt, SystemExit])
def test_a_stream_whose_block_raises_leaves_nothing(store: Store, reason: type[BaseException]):
    with pytest.raises((reason, StorageError)), store.writer("folder/stream") as stream:
        stream.write(b"half of it")
        raise reason
    assert list(store.find("folder")) == []
    with pytest.raises(FileNotFoundError):
        store.read("folder/stream")


def test_a_stream_whose_block_raises_keeps_what_was_there(store: Store):
    write(store, "stream", b"the old text")
    with pytest.raises((Stopped, StorageError)), store.writer("stream") as stream:
        stream.write(b"half of the new one")
        raise Stopped
    assert store.read("stream") == b"the old text"


def test_the_exception_of_a_stream_s_block_comes_out_as_it_went_in(sound_store: Store):
    with pytest.raises(PermissionError, match=r"^it is about another file$"), sound_store.writer("stream") as stream:
        stream.write(b"half of it")
        raise PermissionError("it is about another file")


def test_nobody_sees_a_file_before_its_stream_is_closed(store: Store):
    def look() -> None:
        assert list(store.find("folder")) == []
        assert store.children("folder") == []
        with pytest.raises(FileNotFoundError):
            store.read("folder/stream")

    for _ in range(50):
        try:
            with store.writer("folder/stream") as stream:
                stream.write(b"half of it")
                look()
                stream.write(b"the rest")
            break
        except StorageError:
            if list(store.find("folder")):
                break  # it was done and the answer was lost
    assert store.read("folder/stream") == b"half of itthe rest"


def test_a_reader_never_sees_half_of_a_file_that_is_replaced_again_and_again(store: Store):
    size = 300_000
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.append(store.read("file"))
            except FileNotFoundError:
                continue

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for number in range(rounds(store, 40)):
                write(store, "file", bytes([number]) * size)
        finally:
            done.set()
        reading.result(60)
    assert all(len(content) == size and content == content[:1] * size for content in seen)


def test_a_reader_never_sees_half_of_a_file_that_is_created(store: Store):
    size = 300_000
    names = [f"created/{number}" for number in range(rounds(store, 40))]
    done = threading.Event()
    halves: list[str] = []

    def read() -> None:
        while not done.is_set():
            halves.extend(name for name in list(store.find("created")) if len(store.read(name)) != size)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for name in names:
                store.create(name, b"x" * size)
        finally:
            done.set()
        reading.result(60)
    assert halves == []


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 1), (0, 10), (3, 7), (3, None), (9, 10), (5, 100), (4, 4), (7, 3)])
def test_a_range_is_read_as_a_slice(store: Store, start: int, stop: int | None):
    store.create("digits", b"0123456789")
    assert store.read("digits", start, stop) == b"0123456789"[start:stop]


def test_what_is_opened_reads_as_a_stream_that_can_be_sought(sound_store: Store):
    sound_store.create("digits", b"0123456789")
    with sound_store.open("digits") as stream:
        assert stream.read(3) == b"012"
        assert stream.seek(8) == 8
        assert stream.read() == b"89"


def test_two_readers_of_one_file_do_not_disturb_each_other(sound_store: Store):
    sound_store.create("digits", b"0123456789")
    with sound_store.open("digits") as one, sound_store.open("digits") as other:
        assert (one.read(4), other.read(2), one.read(2)) == (b"0123", b"01", b"45")


def test_what_is_missing_is_said_to_be_missing(store: Store):
    with pytest.raises(FileNotFoundError):
        store.read("nowhere/nothing")
    with pytest.raises(FileNotFoundError):
        store.read("nowhere/nothing", 2, 5)
    with pytest.raises(FileNotFoundError), store.open("nowhere/nothing"):
        pass


def test_find_gives_all_files_below_a_folder_in_the_order_of_their_paths(store: Store):
    paths = ["b/c", "b.txt", "b/a/z", "b-c/x", "a", "b/a.txt", "c/0000010/00000.json", "c/0000002/00001.json", "c/0000002/00000.json"]
    for path in paths:
        store.create(path, path.encode())
    assert list(store.find("")) == sorted(paths)
    assert list(store.find("b")) == ["b/a.txt", "b/a/z", "b/c"]
    assert list(store.find("c")) == ["c/0000002/00000.json", "c/0000002/00001.json", "c/0000010/00000.json"]
    assert list(store.find("nowhere")) == []


def test_children_gives_the_names_of_files_and_folders_in_order(store: Store):
    for path in ["jobs/b/job.json", "jobs/a/blocks/0/0.json", "jobs/a-b/x", "jobs/file", "other"]:
        store.create(path, b"x")
    assert store.children("jobs") == ["a", "a-b", "b", "file"]
    assert store.children("") == ["jobs", "other"]
    assert store.children("nowhere") == []


def test_a_listing_shows_at_once_what_others_have_written(store: Store):
    assert list(store.find("log")) == []
    for number in range(3):
        store.create(f"log/{number}", b"x")
        assert list(store.find("log")) == [f"log/{each}" for each in range(number + 1)]
        assert store.children("log") == [str(each) for each in range(number + 1)]


def test_deleting_twice_or_what_never_was_is_harmless(store: Store):
    store.create("file", b"x")
    for _ in range(3):
        store.delete("file")
        store.delete("never/was")
    with pytest.raises(FileNotFoundError):
        store.read("file")


def test_deleting_a_folder_takes_all_below_it_and_nothing_else(store: Store):
    for path in ["job-1/a", "job-1/b/c", "job-10/a", "job-1.txt"]:
        store.create(path, b"x")
    store.delete("job-1")
    store.delete("job-1")
    assert list(store.find("")) == ["job-1.txt", "job-10/a"]


def test_deleting_a_name_with_a_star_takes_no_other_file(store: Store):
    for path in ["job*", "job-1", "job-2/file"]:
        store.create(path, b"x")
    store.delete("job*")
    assert list(store.find("")) == ["job-1", "job-2/file"]


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_a_file_may_bear_an_awkward_name(store: Store, name: str):
    path = f"folder of {name}/{name}"
    store.create(path, b"created")
    write(store, path, b"written")
    assert store.read(path) == b"written"
    assert list(store.find("")) == [path]
    assert store.children(f"folder of {name}") == [name]
    store.delete(path)
    assert list(store.find("")) == []


def test_files_are_copied_from_any_store_to_any_other(sound_store: Store, tmp_path: Path):
    other = LocalStore(tmp_path / "other")
    sound_store.create("model/a", b"1")
    sound_store.create("model/b/c", b"2")
    copy_tree(sound_store, "model", other, "")
    assert {path: other.read(path) for path in other.find("")} == {"a": b"1", "b/c": b"2"}
    copy_file(other, "b/c", sound_store, "back")
    assert sound_store.read("back") == b"2"


def test_every_store_that_we_open_passes_the_probe_and_keeps_no_trace_of_it(sound_store: Store):
    probe(sound_store)
    assert list(sound_store.find("")) == []
    assert sound_store.children("") == []


def test_a_store_says_where_it_is_and_whether_that_is_on_this_machine(sound_store: Store):
    if isinstance(sound_store, LocalStore):
        assert sound_store.url == str(sound_store.local_root)
    else:
        assert sound_store.url.partition("://")[0] in {"memory", "s3", "abfs"}
        assert sound_store.local_root is None


def test_an_upload_in_parts_that_is_abandoned_leaves_nothing(remote: Remote):
    store = remote.store()
    with pytest.raises(Stopped), store.writer("big") as stream:
        for _ in range(20):
            stream.write(bytes(5 << 20))
        raise Stopped
    gc.collect()
    assert list(store.find("")) == []


def test_an_upload_in_parts_is_there_when_it_ended(remote: Remote):
    store = remote.store()
    with store.writer("big") as stream:
        for number in range(20):
            stream.write(bytes([number]) * (5 << 20))
            assert list(store.find("")) == []
    assert [store.read("big", at * (5 << 20), at * (5 << 20) + 1)[0] for at in range(20)] == list(range(20))


@pytest.mark.parametrize("parts", [8, 12])
def test_an_upload_whose_last_part_fails_is_not_finished_later(remote: Remote, parts: int):
    def fail(store: RemoteStore, proxy: FaultyProxy) -> None:
        with pytest.raises(StorageError), store.writer("big") as stream:
            for _ in range(parts):
                stream.write(bytes(5 << 20))
            proxy.inject(*[Fault.ERROR] * 200)

    with faulty_proxy(remote.port, every=0) as proxy:
        store = remote.store(proxy.server_port)
        fail(store, proxy)
        proxy.heal()
        gc.collect()
        assert list(store.find("")) == []


def _storage_that_fails_from_now_on(remote: Remote, do: Callable[[RemoteStore, Callable[[], None]], None]) -> None:
    with faulty_proxy(remote.port, every=0) as proxy:
        do(remote.store(proxy.server_port), lambda: proxy.inject(*[Fault.ERROR] * 200))


def test_a_stream_that_storage_breaks_while_it_is_written_is_a_storage_error(remote: Remote):
    def do(store: RemoteStore, fail: Callable[[], None]) -> None:
        with pytest.raises(StorageError), store.writer("big") as stream:
            fail()
            for _ in range(12):
                stream.write(bytes(5 << 20))

    _storage_that_fails_from_now_on(remote, do)


@pytest.fixture
def two_nodes(remote: Remote) -> tuple[RemoteStore, RemoteStore]:
    """One folder as two machines see it: whatever either remembers of it, the other does not know."""
    return remote.store(skip_instance_cache=True), remote.store(skip_instance_cache=True)


def test_what_another_node_wrote_after_we_listed_the_folder_is_read(two_nodes: tuple[RemoteStore, RemoteStore]):
    ours, theirs = two_nodes
    theirs.create("log/0", b"0")
    assert list(ours.find("log")) == ["log/0"]
    theirs.create("log/1", b"1")
    assert ours.read("log/1") == b"1"
    assert ours.read("log/1", 0, 1) == b"1"
    with ours.open("log/1") as stream:
        assert stream.read() == b"1"


def test_a_race_that_was_lost_after_we_listed_the_folder_is_told_as_one(two_nodes: tuple[RemoteStore, RemoteStore]):
    ours, theirs = two_nodes
    theirs.create("log/0", b"0")
    assert list(ours.find("log")) == ["log/0"]
    assert ours.children("log") == ["0"]
    theirs.create("log/1", b"theirs")
    with pytest.raises(FileExistsError):
        ours.create("log/1", b"ours")


def test_what_another_node_replaced_is_read_as_it_is_now(two_nodes: tuple[RemoteStore, RemoteStore]):
    ours, theirs = two_nodes
    write(theirs, "beat", b"1")
    assert (list(ours.find("")), ours.read("beat")) == (["beat"], b"1")
    write(theirs, "beat", b"a longer one")
    assert ours.read("beat") == b"a longer one"
    with ours.open("beat") as stream:
        assert stream.read() == b"a longer one"


def test_what_another_node_deleted_is_gone(two_nodes: tuple[RemoteStore, RemoteStore]):
    ours, theirs = two_nodes
    theirs.create("file", b"1")
    assert list(ours.find("")) == ["file"]
    theirs.delete("file")
    with pytest.raises(FileNotFoundError):
        ours.read("file")
    ours.create("file", b"2")
    theirs.delete("file")
    ours.delete("file")
    assert ours.children("") == []


class FilledMeanwhile(s3fs.S3FileSystem):
    """Another node writes the first file of a folder just after this one's listing found none."""

    async def _info(self, path: str, *args: object, **kwargs: object) -> dict[str, object]:
        await self._pipe_file(f"{path}/0000000/00000.json", b"of another node")
        return await super()._info(path, *args, **kwargs)


def test_a_folder_whose_first_file_appears_while_it_is_listed_is_not_taken_for_a_file(s3: S3Server):
    store = RemoteStore(s3_file_system(s3.url, FilledMeanwhile), f"{BUCKET}/filled-meanwhile")
    assert list(store.find("blocks")) in ([], ["blocks/0000000/00000.json"])


def test_a_stream_that_storage_breaks_while_it_is_read_is_a_storage_error(remote: Remote):
    def do(store: RemoteStore, fail: Callable[[], None]) -> None:
        store.create("file", b"0123456789")
        with pytest.raises(StorageError), store.open("file") as stream:
            fail()
            stream.read()

    _storage_that_fails_from_now_on(remote, do)


def test_what_fails_for_good_is_a_storage_error_that_names_the_place(remote: Remote, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("airflow_batchinfer.storage.insisting.FIRST_PAUSE_SECONDS", 0.001)

    def do(store: RemoteStore, fail: Callable[[], None]) -> None:
        fail()
        with pytest.raises(StorageError, match=f"{store.url}/file.*Check the address, credentials and service"):
            store.read("file")

    _storage_that_fails_from_now_on(remote, do)


def test_a_local_file_in_the_place_of_a_folder_is_a_storage_error_and_not_a_lost_race(tmp_path: Path):
    store = LocalStore(tmp_path)
    store.create("file", b"x")
    with pytest.raises(StorageError):
        store.create("file/below", b"x")
    with pytest.raises(StorageError), store.writer("file/below"):
        pass


def test_a_local_store_leaves_no_temporary_file_behind(tmp_path: Path):
    store = LocalStore(tmp_path)
    store.create("record", b"x")
    with pytest.raises(FileExistsError):
        store.create("record", b"y")
    with pytest.raises(Stopped), store.writer("stream") as stream:
        stream.write(b"half")
        raise Stopped
    assert [path.name for path in tmp_path.rglob("*")] == ["record"]


def test_a_folder_s_own_files_are_found_whatever_they_are_called(tmp_path: Path):
    (tmp_path / ".tmp-of-the-user").write_bytes(b"part of a model")
    assert list(LocalStore(tmp_path).find("")) == [".tmp-of-the-user"]


def test_a_remote_file_is_read_while_another_one_replaces_it(sound_store: Store):
    sound_store.create("file", b"old")
    with sound_store.open("file") as stream:
        held = io.BytesIO(stream.read())
        write(sound_store, "file", b"new")
    assert (held.read(), sound_store.read("file")) == (b"old", b"new")
