"""The two keys of a service: which count, which are made, and which wait for a revision."""

import stat
from pathlib import Path

from airflow_batchinfer.deployment.local.key_file import good_keys, replace_key, set_keys, take
from airflow_batchinfer.deployment.spec import GivenKeys

GIVEN, OTHER = "given-key-0123456789", "other-key-0123456789"


def test_a_service_without_keys_has_two_at_once_that_only_its_owner_reads(tmp_path: Path):
    keys, later = tmp_path / "keys", tmp_path / "later"
    set_keys(keys, GivenKeys(GIVEN), later)
    assert good_keys(keys)[0] == GIVEN
    assert len(good_keys(keys)) == 2
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_what_is_given_later_waits_and_leaves_what_was_replaced_meanwhile(tmp_path: Path):
    keys, later = tmp_path / "keys", tmp_path / "later"
    set_keys(keys, GivenKeys(), later)
    before = good_keys(keys)
    set_keys(keys, GivenKeys(GIVEN), later)
    assert good_keys(keys) == before
    replace_key(keys, 1, OTHER)
    assert take(later, keys)
    assert good_keys(keys) == [GIVEN, OTHER]
    assert not take(later, keys)


def test_what_is_set_already_has_nothing_to_wait_for(tmp_path: Path):
    keys, later = tmp_path / "keys", tmp_path / "later"
    set_keys(keys, GivenKeys(GIVEN, OTHER), later)
    set_keys(keys, GivenKeys(GIVEN), later)
    assert not later.exists()


def test_a_key_that_makes_no_sense_is_none_and_another_takes_its_place(tmp_path: Path):
    keys = tmp_path / "keys"
    keys.write_text(f"{GIVEN}\nshort\n")
    assert good_keys(keys) == [GIVEN]
    set_keys(keys, GivenKeys(), tmp_path / "later")
    assert good_keys(keys)[0] == GIVEN
    assert len(good_keys(keys)) == 2
