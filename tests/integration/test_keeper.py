"""A keeper ends as its worker did, whatever it is told meanwhile."""

import os
import signal
import sys
from pathlib import Path

import pytest

from airflow_batchinfer.processes import Child, Launch
from airflow_batchinfer.worker import keeper
from tests.integration.leftovers import wait_until


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_a_keeper_that_is_asked_to_kill_after_its_worker_died_still_tells_how(number: signal.Signals):
    child = os.fork()
    if not child:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])
            for late in (signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), late)
            keeper.end_as(number)
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -number


def test_who_may_not_wait_for_a_child_asks_whether_it_has_ended_and_how(tmp_path: Path):
    ends = os.pipe()
    child = Child(Launch(sys.executable, str(tmp_path), os.environ), {}, ends[1], *ends)
    try:
        assert child.collect_if_ended() is None
        child.kill_keeper()
        assert wait_until(child.collect_if_ended, "it has ended") == (
            "the worker process was killed by SIGKILL, as the kernel does when memory runs out"
        )
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(child.alive)
    finally:
        for end in ends:
            os.close(end)
