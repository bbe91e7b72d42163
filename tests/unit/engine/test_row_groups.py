"""Row groups of remote Parquet files, brought to local disk: what of them, how often, and what a worker reads of it."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_batchinfer.datasets import FileDataset, Item, TableForm, list_items
from airflow_batchinfer.engine import row_groups
from airflow_batchinfer.engine.disk_budget import DiskBudget
from airflow_batchinfer.engine.fetching_slices import bring_slice
from airflow_batchinfer.engine.row_groups import RowGroups
from airflow_batchinfer.tables.parquet import ParquetCutter
from airflow_batchinfer.tables.slices import Slice, Window
from airflow_batchinfer.worker.tables import read
from tests.faults.flaky_filesystem import FlakyFileSystem, flaky_filesystem

ROWS = 40_000
GROUP_ROWS = 10_000
URL = "flaky:///table.parquet"


@pytest.fixture
def fs(monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyFileSystem]:
    """A storage that can fail, and counts its calls."""
    monkeypatch.setattr("airflow_batchinfer.storage.insisting.FIRST_PAUSE_SECONDS", 0.0)
    with flaky_filesystem(every=0) as fs:
        yield fs


class Remote:
    """A table in a remote file, its slices, and its row groups here."""

    def __init__(self, fs: FlakyFileSystem, folder: Path, most_bytes: int, most_on_disk: int = 1 << 30, **options: object) -> None:
        values = {"n": pa.array(range(ROWS), pa.int64()), "text": pa.array([f"{n * 7919 % ROWS:08d}" for n in range(ROWS)])}
        written = pa.BufferOutputStream()
        parquet.write_table(pa.table(values), written, row_group_size=GROUP_ROWS, **options)
        self.content = written.getvalue().to_pybytes()
        fs.target.pipe_file("/table.parquet", self.content)
        (self.item,) = list_items(FileDataset.from_files(URL))
        cutter = ParquetCutter(TableForm("parquet"), most_bytes, ())
        self.slices = [piece for _, piece in cutter.cut(self.item, Window(0, None))]
        self.told = {"kind": "parquet", "names": ["n", "text"], "types": dict(cutter.columns), "columns": None}
        self.folder = folder
        self.budget = DiskBudget(most_on_disk)
        (folder / "items").mkdir()
        self.row_groups = RowGroups(folder / "items", self.budget)
        fs.calls.clear()

    def bring(self, number: int) -> list[object]:
        return bring_slice(self.slices[number], "parquet", self.folder / f"slice-{number}", self.row_groups)

    def rows(self, number: int) -> list[int]:
        return read([self.bring(number)], self.told)["n"].tolist()

    def expected(self, number: int) -> list[int]:
        return list(range(self.slices[number].start, self.slices[number].stop))


@pytest.mark.parametrize("options", [{}, {"compression": "none", "use_dictionary": False}, {"write_statistics": False}])
@pytest.mark.parametrize("most_bytes", [20_000, 10**6], ids=["parts of groups", "whole groups"])
def test_what_is_brought_reads_as_the_file_does(fs: FlakyFileSystem, tmp_path: Path, most_bytes: int, options: dict[str, object]):
    remote = Remote(fs, tmp_path, most_bytes, **options)
    assert [remote.rows(number) for number in range(len(remote.slices))] == [
        remote.expected(number) for number in range(len(remote.slices))
    ]


def test_a_row_group_is_asked_for_once_for_all_its_slices_and_the_footer_once_for_all_groups(fs: FlakyFileSystem, tmp_path: Path):
    remote = Remote(fs, tmp_path, 20_000)
    assert len(remote.slices) > 30
    for number in range(len(remote.slices)):
        remote.bring(number)
    # Its length, the footer, and of each of four groups the columns and the footer once more.
    assert fs.calls["cat_file"] <= 2 + 4 * 2
    assert fs.calls["info"] == len(remote.slices)


def test_only_what_holds_the_rows_takes_disk(fs: FlakyFileSystem, tmp_path: Path):
    remote = Remote(fs, tmp_path, 20_000, compression="none", use_dictionary=False)
    place = Path(str(remote.bring(0)[0]))
    assert place.stat().st_size == len(remote.content)
    assert place.stat().st_blocks * 512 < len(remote.content) / 2


def test_row_groups_are_on_the_disk_and_counted_while_a_slice_needs_them(
    fs: FlakyFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(row_groups, "MOST_FILES", 1)
    remote = Remote(fs, tmp_path, 20_000)
    for number in range(len(remote.slices)):
        assert remote.rows(number) == remote.expected(number)
    assert len(list((tmp_path / "items").iterdir())) == ROWS / GROUP_ROWS
    all_of_them = remote.budget.taken_bytes
    assert len(remote.content) < all_of_them < 1.2 * len(remote.content)
    for number in range(len(remote.slices)):
        shutil.rmtree(tmp_path / f"slice-{number}")
    remote.row_groups.sweep()
    assert len(list((tmp_path / "items").iterdir())) == 1
    assert remote.budget.taken_bytes == pytest.approx(all_of_them / 4, rel=0.1)


def test_row_groups_larger_than_the_budget_are_a_lost_slice_that_says_so(fs: FlakyFileSystem, tmp_path: Path):
    remote = Remote(fs, tmp_path, 10**6, 1000)
    told = remote.bring(0)[-1]
    assert str(told).startswith("cannot be read: the row groups that it is of have ")
    assert "and a node may hold 1000 bytes on its disk at once" in str(told)
    assert remote.budget.taken_bytes == 0


def test_when_the_node_is_done_who_still_wants_a_row_group_gives_up(fs: FlakyFileSystem, tmp_path: Path):
    remote = Remote(fs, tmp_path, 20_000)
    remote.bring(0)
    shutil.rmtree(tmp_path / "items")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(remote.bring, 1).result(timeout=30)[-1] == "cannot be read: it does not exist any more"


def test_threads_that_want_groups_at_once_each_get_what_is_theirs(fs: FlakyFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(row_groups, "MOST_FILES", 1)
    remote = Remote(fs, tmp_path, 5_000)
    numbers = [number for start in range(7) for number in range(start, len(remote.slices), 7)]
    with ThreadPoolExecutor(8) as pool:
        cells = dict(zip(numbers, pool.map(remote.bring, numbers), strict=True))
    for number, cell in cells.items():
        assert read([cell], remote.told)["n"].tolist() == remote.expected(number)


def test_storage_that_fails_every_third_call_changes_no_row(fs: FlakyFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(row_groups, "REQUEST_BYTES", 10_000)
    remote = Remote(fs, tmp_path, 10**5)
    fs.flakiness.every = 3
    assert [remote.rows(number) for number in range(len(remote.slices))] == [
        remote.expected(number) for number in range(len(remote.slices))
    ]
    assert fs.faults.total() > 10


@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_file_that_is_another_than_planned_is_a_lost_slice(fs: FlakyFileSystem, tmp_path: Path, how: str):
    remote = Remote(fs, tmp_path, 20_000)
    remote.bring(0)
    if how == "changed":
        fs.target.pipe_file("/table.parquet", remote.content + b"x")
    else:
        fs.target.rm("/table.parquet")
    told = {"changed": "changed since planned", "gone": "cannot be read: it does not exist any more"}[how]
    assert remote.bring(1) == [*remote.slices[1], URL, told]


def test_a_planned_slice_names_its_file(fs: FlakyFileSystem, tmp_path: Path):
    remote = Remote(fs, tmp_path, 20_000)
    place, size, version, *rest = remote.bring(3)
    assert (size, version, rest) == (None, None, [*remote.slices[3][3:], URL, None])
    assert isinstance(remote.item, Item)
    assert Path(str(place)).is_relative_to(tmp_path / "slice-3")
    assert isinstance(remote.slices[3], Slice)
