"""What processes hold, by what the kernel tells of them."""

from pathlib import Path

import pytest

from airflow_batchinfer.processes.memory import held_bytes

KEEPER, WORKER, CHILD, GRANDCHILD = 10, 11, 12, 13
ROLLUP = "10-20 ---p 00000000 00:00 0   [rollup]\nRss:  900 kB\nPss:  700 kB\n"


def write(proc: Path, path: str, text: str) -> None:
    (proc / path).parent.mkdir(parents=True, exist_ok=True)
    (proc / path).write_text(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A keeper, its worker, a process that a thread of that started, and one below: each holds 100 kB, and its share is 50."""
    for pid, children in ((KEEPER, {10: "11 "}), (WORKER, {11: "", 40: "12 "}), (CHILD, {12: "13 "}), (GRANDCHILD, {13: ""})):
        write(tmp_path, f"{pid}/status", "Name:\tx\nVmRSS:\t 900 kB\nRssAnon:\t  60 kB\nRssFile:\t 700 kB\nRssShmem:\t  40 kB\n")
        write(tmp_path, f"{pid}/smaps_rollup", ROLLUP + "Pss_Anon:  30 kB\nPss_File:  650 kB\nPss_Shmem:  20 kB\n")
        for thread, pids in children.items():
            write(tmp_path, f"{pid}/task/{thread}/children", pids)
    return tmp_path


def test_all_below_the_keeper_counts_and_not_the_keeper(proc: Path):
    assert held_bytes(KEEPER, 1 << 30, proc) == 300 << 10


def test_where_it_matters_what_they_share_counts_once(proc: Path):
    assert held_bytes(KEEPER, 299 << 10, proc) == 150 << 10


def test_of_a_process_whose_share_is_not_told_all_counts(proc: Path):
    write(proc, f"{CHILD}/smaps_rollup", ROLLUP)
    (proc / f"{WORKER}/smaps_rollup").unlink()
    assert held_bytes(KEEPER, 0, proc) == (100 + 100 + 50) << 10


def test_a_process_that_ends_meanwhile_holds_nothing(proc: Path):
    for name in ("status", "smaps_rollup"):
        (proc / f"{CHILD}/{name}").unlink()
    assert held_bytes(KEEPER, 0, proc) == 100 << 10
    assert held_bytes(99, 0, proc) == 0


def test_of_one_process_alone_there_is_nothing_to_share(proc: Path):
    assert held_bytes(CHILD, 0, proc) == 100 << 10
