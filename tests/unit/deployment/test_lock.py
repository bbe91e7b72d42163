"""Who holds a lock file, as those see it who want it, look at it, or have lost it."""

import fcntl
import os
import threading
from pathlib import Path

from airflow_batchinfer.deployment.local.folder import Lock


def test_one_holds_it_until_the_file_is_closed_and_others_see_who(tmp_path: Path):
    lock = Lock(tmp_path / "lock")
    assert not lock.is_held
    held = lock.take()
    assert held
    assert lock.holder() == {"pid": os.getpid()}
    lock.say(held, {"pid": 1, "what": "a long text" * 9})
    lock.say(held, {"pid": 2})
    assert lock.holder() == {"pid": 2}
    assert lock.take() is None
    held.close()
    assert not lock.is_held


def test_whoever_only_looks_keeps_nobody_from_taking_it(tmp_path: Path):
    path = tmp_path / "lock"
    looking = path.open("a+b")
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.02, looking.close).start()
    held = Lock(path).take()
    assert held
    held.close()


def test_a_holder_that_has_said_nothing_yet_holds_it(tmp_path: Path):
    path = tmp_path / "lock"
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert Lock(path).holder() == {}
        assert Lock(path).is_held


def test_a_lock_whose_file_was_deleted_is_lost_also_when_there_is_another_of_its_name(tmp_path: Path):
    path = tmp_path / "lock"
    lock = Lock(path)
    assert lock.take_for_good()
    assert not lock.is_lost
    path.unlink()
    assert lock.is_lost
    path.touch()
    assert lock.is_lost
