"""Mini-batches come to local disk all their items at once, within the disk budget, and leave it again."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Event
from uuid import uuid4

import pytest
from fsspec import AbstractFileSystem, filesystem, register_implementation
from fsspec.implementations.memory import MemoryFileSystem

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.datasets.listing import version_of
from airflow_batchinfer.engine.disk_budget import DiskBudget
from airflow_batchinfer.engine.fetching import Fetched, Fetcher, targets
from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.planning.lines import line_of_files
from airflow_batchinfer.tables.slices import Slice

SECONDS = 30


class Desk:
    """A fetcher, and items of a memory file system."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self._woken = Event()
        self.fetcher = Fetcher(folder, self._woken.set, (), DiskBudget(most_bytes))
        self._mark = uuid4().hex

    def line(self, sizes: list[int], protocol: str = "memory") -> bytes:
        fs: AbstractFileSystem = filesystem(protocol)
        items = []
        for number, size in enumerate(sizes):
            path = f"/{self._mark}/{uuid4().hex}/{number}"
            fs.pipe_file(path, b"x" * size)
            items.append(Item(f"{protocol}://{path}", size, version_of(fs.info(path))))
        return line_of_files(items)

    def come(self, count: int) -> list[Fetched]:
        """The next so many mini-batches, in the order of their numbers."""
        found: list[Fetched] = []
        while len(found) < count:
            if not (ready := self.fetcher.ready()):
                assert self._woken.wait(SECONDS)
                self._woken.clear()
            found += ready
        return sorted(found, key=lambda fetched: fetched.mini_batch)

    def next(self) -> Fetched:
        (fetched,) = self.come(1)
        return fetched

    @property
    def bytes_on_disk(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "items", 100)
    yield desk
    desk.fetcher.close()


def sizes_of(fetched: Fetched) -> list[int]:
    return [Path(cell[0]).stat().st_size for cell in json.loads(fetched.line)]


class Meeting(MemoryFileSystem):
    """Nobody gets a file before as many as the barrier wants are asking for one."""

    protocol = "meeting"
    barrier = Barrier(1)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("meeting://"))

    def get_file(self, rpath: str, lpath: str, **_: object) -> None:
        self.barrier.wait(SECONDS)
        Path(lpath).write_bytes(self.cat_file(rpath))


register_implementation("meeting", Meeting, clobber=True)


def test_the_items_of_one_mini_batch_come_at_the_same_time(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Meeting, "barrier", Barrier(40))
    assert desk.fetcher.fetch(0, desk.line([1] * 40, "meeting"))
    assert sizes_of(desk.next()) == [1] * 40


def test_items_of_several_mini_batches_come_at_the_same_time_too(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Meeting, "barrier", Barrier(6))
    assert all(desk.fetcher.fetch(number, desk.line([1, 1], "meeting")) for number in range(3))
    assert [(fetched.mini_batch, sizes_of(fetched)) for fetched in desk.come(3)] == [(number, [1, 1]) for number in range(3)]


def test_no_more_is_on_the_disk_than_the_budget_and_what_is_discarded_makes_room(desk: Desk):
    lines = [desk.line([30, 20]) for _ in range(5)]
    taken = [desk.fetcher.fetch(number, line) for number, line in enumerate(lines[:3])]
    assert taken == [True, True, False]
    here = desk.come(2)
    assert [fetched.mini_batch for fetched in here] == [0, 1]
    assert desk.bytes_on_disk == 100
    for number in range(2, 5):
        desk.fetcher.discard(here.pop(0))
        assert desk.fetcher.fetch(number, lines[number])
        here.append(desk.next())
        assert here[-1].mini_batch == number
        assert desk.bytes_on_disk == 100
    for fetched in here:
        desk.fetcher.discard(fetched)
    assert desk.bytes_on_disk == 0


def test_of_a_mini_batch_that_is_fetched_twice_one_can_be_discarded_while_the_other_comes(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Meeting, "barrier", Barrier(2))
    line = desk.line([40])
    assert desk.fetcher.fetch(7, line)
    first = desk.next()
    assert desk.fetcher.fetch(7, desk.line([40], "meeting"))
    desk.fetcher.discard(first)
    Meeting.barrier.wait(SECONDS)
    second = desk.next()
    assert sizes_of(second) == [40]
    desk.fetcher.discard(second)
    assert desk.fetcher.fetch(8, desk.line([100]))
    assert sizes_of(desk.next()) == [100]


def test_what_is_closed_leaves_nothing_and_what_comes_after_that_meets_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Meeting, "barrier", Barrier(2))
    closed, next_one = Desk(tmp_path / "items", 100), Desk(tmp_path / "items", 100)
    assert closed.fetcher.fetch(0, closed.line([1], "meeting"))
    closed.fetcher.close()
    Meeting.barrier.wait(SECONDS)
    assert next_one.fetcher.fetch(0, next_one.line([2]))
    assert sizes_of(next_one.next()) == [2]
    next_one.fetcher.close()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size == 2] == []


class Full(MemoryFileSystem):
    """Whoever gets a file finds the disk full."""

    protocol = "full"
    asked = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("full://"))

    def get_file(self, _: str, lpath: str, **__: object) -> None:
        type(self).asked += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), lpath)


register_implementation("full", Full, clobber=True)


def test_a_disk_that_is_full_stops_the_node_at_once_and_fails_no_item(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Full, "asked", 0)
    assert desk.fetcher.fetch(0, desk.line([1], "full"))
    with pytest.raises(StorageError, match=r"No space left on device at .*, where this node keeps what it fetches"):
        desk.next()
    assert Full.asked == 1


def test_an_item_larger_than_the_budget_is_lost_by_name_and_the_others_come(desk: Desk):
    line = desk.line([60, 101, 40])
    assert desk.fetcher.fetch(7, line)
    fetched = desk.next()
    ((path, reason),) = fetched.lost
    assert path == json.loads(line)[1][0]
    assert reason.startswith("cannot be read: it has 101 bytes, and a node may hold 100 bytes on its disk at once: ")
    assert sizes_of(fetched) == [60, 40]


def test_a_mini_batch_larger_than_the_budget_is_lost_as_a_whole_and_says_what_to_do(desk: Desk):
    assert desk.fetcher.fetch(7, desk.line([60, 60]))
    fetched = desk.next()
    told = "the 2 files of its mini-batch have 120 bytes, and a node may hold 100 bytes on its disk at once: make mini_batch_size smaller"
    assert all(reason.startswith(f"cannot be read: {told}, or set BATCHINFER_DISK_BUDGET ") for _, reason in fetched.lost)
    assert len(fetched.lost) == 2
    assert fetched.line == b"[]"


def test_a_slice_larger_than_the_budget_reaches_the_worker_as_one_that_cannot_be_read(tmp_path: Path):
    fetcher = Fetcher(tmp_path, lambda: None, ("csv",), DiskBudget(100))
    piece = Slice("memory:///big.csv.gz", 101, "v", 0, 5000, 0, 9)
    assert fetcher.fetch(0, json.dumps({"keys": {}, "table": 0, "slices": [piece]}).encode())
    (fetched,) = fetcher.ready()
    fetcher.close()
    assert json.loads(fetched.line)["slices"][0][-1].startswith("cannot be read: it has 101 bytes")


def test_items_of_one_folder_share_one_here_and_those_of_one_name_do_not_meet():
    urls = ["s3://b/x/a/1.jpg", "s3://b/x/a/2.jpg", "s3://b/y/a/1.jpg", "s3://b/x/c/1.jpg", "s3://b/z/a/1.jpg"]
    assert [str(target) for target in targets(Path("p"), urls)] == [
        "p/0/a/1.jpg",
        "p/0/a/2.jpg",
        "p/1/a/1.jpg",
        "p/0/c/1.jpg",
        "p/2/a/1.jpg",
    ]


def test_a_file_and_a_folder_of_one_name_do_not_meet():
    assert [str(target) for target in targets(Path("p"), ["s3://b/a", "s3://b/b/a/x"])] == ["p/0/b/a", "p/0/a/x"]
