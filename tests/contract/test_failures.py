"""From whose fault it is to what Airflow does, and what a person reads first."""

import logging

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_batchinfer.errors import (
    ConfigError,
    ErrorBudgetSpent,
    ScriptError,
    StorageError,
    TransientError,
    UserError,
    WorkersUnavailable,
)
from airflow_batchinfer.operators.failures import HOW_AGAIN, told_to_airflow

TRACEBACK = (
    'Traceback (most recent call last):\n  File "score.py", line 8, in run\nKeyError: 3\n\nDuring handling:\n\nTraceback ...\nValueError: x'
)


@pytest.mark.parametrize("error", [ScriptError("no script"), ConfigError(["a", "b"]), ErrorBudgetSpent("too many")])
def test_what_someone_must_change_is_not_tried_again(error: UserError):
    with pytest.raises(AirflowFailException, match=str(error)[:7]), told_to_airflow():
        raise error


@pytest.mark.parametrize("error", [StorageError("no answer"), WorkersUnavailable("no worker")])
def test_what_the_surroundings_did_is_tried_again(error: TransientError):
    with pytest.raises(AirflowException, match=str(error)) as told, told_to_airflow():
        raise error
    assert not isinstance(told.value, AirflowFailException)


def test_a_task_may_name_what_no_retry_of_its_own_can_mend():
    with pytest.raises(AirflowFailException, match="lost"), told_to_airflow(WorkersUnavailable):
        raise WorkersUnavailable("nodes were lost")


def test_a_workspace_that_cannot_be_used_because_storage_failed_is_tried_again():
    with pytest.raises(AirflowException, match="choose another folder") as told, told_to_airflow():
        raise ConfigError("the workspace cannot be used: no answer; choose another folder") from StorageError("no answer")
    assert not isinstance(told.value, AirflowFailException)


def test_the_script_s_own_traceback_comes_first_in_the_log_and_the_error_holds_the_rest(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.ERROR), pytest.raises(AirflowFailException) as told, told_to_airflow(how_again=HOW_AGAIN):
        raise ErrorBudgetSpent("the job a-1 failed: 1 item failed\nthis cost 1 item\nWhat to do: mend it", TRACEBACK)
    said = f"the job a-1 failed: 1 item failed\nthis cost 1 item\nWhat to do: mend it\n{HOW_AGAIN}"
    assert str(told.value) == said
    assert caplog.messages == [f"{TRACEBACK}\n\n{said}"]
