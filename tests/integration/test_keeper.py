"""A keeper ends as its worker did, whatever it is told meanwhile."""

import os
import signal

import pytest

from airflow_batchinfer.worker import keeper


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
