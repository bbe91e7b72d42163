"""What an interpreter holds is told by a digest."""

import sys

import pytest

from airflow_batchinfer.environments import interpreter_at, own_interpreter
from airflow_batchinfer.errors import ConfigError


def test_the_own_interpreter_is_the_one_that_runs_here() -> None:
    assert own_interpreter().executable == sys.executable
    assert own_interpreter() == own_interpreter()


def test_an_interpreter_that_does_not_run_is_named() -> None:
    with pytest.raises(ConfigError, match="/no/such/python"):
        interpreter_at("/no/such/python")
