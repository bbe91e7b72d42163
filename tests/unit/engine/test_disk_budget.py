from pathlib import Path

import pytest

from airflow_batchinfer.engine.disk_budget import ENVIRONMENT_VARIABLE, DiskBudget, disk_budget
from airflow_batchinfer.errors import ConfigError
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
    assert budget.fault(200 << 20, 1) is None
    assert str(budget.fault(3 << 30, 1)).startswith(
        "it has 3 GB, and a node may hold 200 MB on its disk at once: make mini_batch_size smaller"
    )
    assert str(budget.fault(3 << 30, 1200)).startswith("the 1,200 files of its mini-batch have 3 GB")


def test_the_machine_says_how_much_or_half_of_what_is_free_is_taken(tmp_path: Path):
    assert disk_budget(tmp_path, {ENVIRONMENT_VARIABLE: "500MB"}).most_bytes == 500 << 20
    assert disk_budget(tmp_path, {}).most_bytes > 0
    for wrong in ("much", "0", "-5GB", "5 TB"):
        with pytest.raises(ConfigError, match=f"{ENVIRONMENT_VARIABLE}='{wrong}': give bytes"):
            disk_budget(tmp_path, {ENVIRONMENT_VARIABLE: wrong})


@pytest.mark.parametrize(
    ("text", "size"),
    [("7", 7), ("1KB", 1024), ("3mb", 3 << 20), ("2Gb", 2 << 30), ("1.5GB", None), ("KB", None), ("1 KB", None)],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int | None):
    assert bytes_of(text) == size


def test_a_size_is_told_in_the_largest_unit_that_fits():
    assert [told_bytes(size) for size in (0, 1023, 1024, 1536, 5 << 30)] == ["0 bytes", "1023 bytes", "1 KB", "1.5 KB", "5 GB"]
