import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_batchinfer.environments.gpus import GpuLock, lock_gpus, visible_gpus


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("BATCHINFER_GPUS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def taken() -> Iterator[list[GpuLock]]:
    locks: list[GpuLock] = []
    yield locks
    for lock in locks:
        lock.release()


@pytest.mark.parametrize(
    ("setting", "gpus"),
    [
        ("0,1", ("0", "1")),
        ("", ()),
        ("0", ("0",)),
        ("0,0", ("0", "0")),
        (" 2 , 3 ", ("2", "3")),
        ("-1", ()),
        ("GPU-8a56,MIG-1/2", ("GPU-8a56", "MIG-1/2")),
    ],
)
@pytest.mark.parametrize("name", ["BATCHINFER_GPUS", "CUDA_VISIBLE_DEVICES"])
def test_the_environment_says_which_gpus_there_are(monkeypatch: pytest.MonkeyPatch, name: str, setting: str, gpus: tuple[str, ...]):
    monkeypatch.setenv(name, setting)
    assert visible_gpus() == gpus


def test_our_own_setting_comes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    monkeypatch.setenv("BATCHINFER_GPUS", "")
    assert visible_gpus() == ()


def test_a_gpu_is_one_node_s_at_a_time(taken: list[GpuLock]):
    taken += lock_gpus(["0", "1"], 2)
    assert [lock.gpu for lock in taken] == ["0", "1"]
    assert lock_gpus(["0", "1"], 2) == []


def test_no_more_are_taken_than_are_wanted(taken: list[GpuLock]):
    taken += lock_gpus(["0", "1", "2"], 1)
    others = lock_gpus(["0", "1", "2"], 5)
    taken += others
    assert ([lock.gpu for lock in taken[:1]], [lock.gpu for lock in others]) == (["0"], ["1", "2"])


def test_what_is_released_is_free_again(taken: list[GpuLock]):
    for _ in range(3):
        (lock,) = lock_gpus(["0"], 1)
        assert lock_gpus(["0"], 1) == []
        lock.release()
    taken += lock_gpus(["0"], 1)
    assert len(taken) == 1


def test_a_gpu_named_twice_is_offered_to_two_workers_and_not_to_three(taken: list[GpuLock]):
    taken += lock_gpus(["0", "0"], 9)
    assert [lock.gpu for lock in taken] == ["0", "0"]
    assert lock_gpus(["0", "0"], 9) == []
    taken[0].release()
    again = lock_gpus(["0", "0"], 9)
    taken += again
    assert [lock.gpu for lock in again] == ["0"]


def test_where_none_is_wanted_or_there_none_is_taken():
    assert lock_gpus([], 3) == []
    assert lock_gpus(["0"], 0) == []


def test_an_id_with_a_slash_is_one_lock_in_our_folder(tmp_path: Path, taken: list[GpuLock]):
    taken += lock_gpus(["MIG-GPU-1/2/3", "../../x"], 2)
    assert len(taken) == 2
    assert len(list((tmp_path / "batchinfer-gpus").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["batchinfer-gpus"]


def test_users_of_one_host_share_the_folder(tmp_path: Path, taken: list[GpuLock]):
    taken += lock_gpus(["0"], 1)
    assert oct((tmp_path / "batchinfer-gpus").stat().st_mode & 0o7777) == "0o1777"


def test_who_needs_different_gpus_gets_one_share_of_each(taken: list[GpuLock]):
    taken += lock_gpus(["0", "0", "1"], 3, different=True)
    assert [lock.gpu for lock in taken] == ["0", "1"]
    taken += lock_gpus(["0", "0", "1"], 3, different=True)
    assert [lock.gpu for lock in taken] == ["0", "1", "0"]
