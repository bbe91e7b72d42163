import errno
import os
import shutil
from pathlib import Path

import pytest

from airflow_batchinfer.engine.disk_budget import ENVIRONMENT_VARIABLE, DiskBudget, TooLarge, disk_budget, disk_explained
from airflow_batchinfer.errors import ConfigError, StorageError
from airflow_batchinfer.planning.sizes import bytes_of, told_bytes


def test_what_is_taken_stays_within_the_budget_and_can_be_given_back():
    budget = DiskBudget(100, 3)
    assert budget.admits(100, 1)
    budget.take(60, 1)
    assert [budget.admits(40, 2), budget.admits(41, 1), budget.admits(1, 3)] == [True, False, False]
    budget.take(-60, -1)
    assert budget.admits(100, 3)


def test_what_is_alone_may_be_more_files_but_never_more_bytes():
    assert DiskBudget(100, 3).admits(100, 4)
    assert not DiskBudget(100, 3).admits(101, 1)


def test_what_can_never_be_taken_is_told_with_both_sizes_and_a_remedy():
    budget = DiskBudget(200 << 20)
    budget.check(200 << 20, "it has")
    with pytest.raises(
        TooLarge, match=r"^it has 3 GB, and a node may hold 200 MB on its disk at once: make mini_batch_size smaller, or set "
    ):
        budget.check(3 << 30, "it has")


def test_what_only_this_machine_cannot_hold_is_no_fault_of_the_item():
    with pytest.raises(StorageError, match=r"it has 3 GB, and a node may hold 200 MB on its disk at once, half of what is free here"):
        DiskBudget(200 << 20, is_set=False).check(3 << 30, "it has")


def test_the_machine_says_how_much_or_half_of_what_is_free_is_taken(tmp_path: Path):
    said = disk_budget(tmp_path, {ENVIRONMENT_VARIABLE: "2000GB"})
    assert (said.most_bytes, said.is_set) == (2000 << 30, True)
    found = disk_budget(tmp_path, {})
    assert (found.most_bytes, found.is_set) == (pytest.approx(shutil.disk_usage(tmp_path).free / 2, rel=0.2), False)
    for wrong in ("much", "0", "-5GB", "5 TB"):
        with pytest.raises(ConfigError, match=f"{ENVIRONMENT_VARIABLE}='{wrong}': give bytes"):
            disk_budget(tmp_path, {ENVIRONMENT_VARIABLE: wrong})


def test_a_full_disk_is_told_with_the_remedy_and_every_other_error_as_it_is(tmp_path: Path):
    with (
        pytest.raises(StorageError, match=r"No space left on device at .*, where this node keeps what it fetches: free some space"),
        disk_explained(tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ConnectionResetError), disk_explained(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


@pytest.mark.parametrize(
    ("text", "size"),
    [("7", 7), ("1KB", 1024), ("3mb", 3 << 20), ("2Gb", 2 << 30), ("1.5GB", None), ("KB", None), ("1 KB", None)],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int | None):
    assert bytes_of(text) == size


def test_a_size_is_told_in_the_largest_unit_that_fits():
    assert [told_bytes(size) for size in (0, 1023, 1024, 1536, 5 << 30)] == ["0 bytes", "1023 bytes", "1 KB", "1.5 KB", "5 GB"]
