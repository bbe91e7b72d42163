"""Hashes that requirements name hold, whatever the index says."""

import pytest

from airflow_batchinfer.environments.hashes import held_to, strangers, without

LOCKED = ("a-b==1.0 --hash=sha256:11 --hash=sha256:22", "c==2 --hash=sha256:33", "/wheels/d.whl --hash=sha256:44", "e @ https://h/e.whl")


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("A_b==1.0 --hash=sha256:22", "a-b==1.0 --hash=sha256:22"),
        ("a.b[x]==1.0 ; python_version > '3.8' --hash sha256:22 --hash=sha256:55", "a-b==1.0 --hash=sha256:22 --hash=sha256:55"),
        ("a-b==1.0 --hash=sha512:77", "a-b==1.0 --hash=sha512:77"),
        ("c==2 --hash=sha256:33", "c==2 --hash=sha256:33"),
        ("/wheels/d.whl --hash=sha256:44", "/wheels/d.whl --hash=sha256:44"),
        ("e @ https://h/e.whl --hash=sha256:66", "e @ https://h/e.whl --hash=sha256:66"),
    ],
)
def test_a_package_is_locked_with_the_hashes_that_it_was_asked_for_by(asked: str, line: str):
    found = held_to(LOCKED, ["c", asked])
    assert line in found
    assert len(set(found) - set(LOCKED)) <= 1
    assert list(strangers(LOCKED, ["c", asked])) == []


def test_a_package_of_which_the_index_has_other_files_is_told():
    assert list(strangers(LOCKED, ["a-b==1.0 --hash=sha256:99", "/wheels/d.whl --hash=sha256:99", "c"])) == ["a-b==1.0", "/wheels/d.whl"]


def test_without_hashes_the_index_is_believed():
    assert held_to(LOCKED, ["a-b", "c>=1"]) == LOCKED


def test_packages_that_were_asked_for_without_a_hash_are_told():
    assert list(without(LOCKED, ["a-b --hash=sha256:11", "c", "/wheels/d.whl --hash=sha256:44"])) == ["c==2", "e @ https://h/e.whl"]
