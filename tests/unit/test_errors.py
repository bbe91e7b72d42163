import pytest

from airflow_batchinfer import errors
from airflow_batchinfer.errors import (
    BatchInferError,
    ConfigError,
    ConflictError,
    DeploymentError,
    ErrorBudgetSpent,
    Faults,
    NotFoundError,
    ScriptError,
    StorageError,
    TransientError,
    UnusableEnvironment,
    UserError,
    WorkersUnavailable,
)


def test_every_error_is_either_someone_s_fault_or_that_of_the_surroundings():
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BatchInferError)}
    users = {ConfigError, ScriptError, UnusableEnvironment, NotFoundError, ConflictError, ErrorBudgetSpent}
    surroundings = {StorageError, WorkersUnavailable, DeploymentError}
    assert kinds == {BatchInferError, UserError, TransientError, *users, *surroundings}
    assert all(issubclass(kind, UserError) and not issubclass(kind, TransientError) for kind in users)
    assert all(issubclass(kind, TransientError) and not issubclass(kind, UserError) for kind in surroundings)


def test_one_fault_is_told_as_it_is():
    assert str(ConfigError("a is wrong")) == "a is wrong"
    assert str(ConfigError(["a is wrong"])) == "a is wrong"


def test_several_faults_are_counted_and_listed():
    error = ConfigError(fault for fault in ("a is wrong", "b is too"))
    assert error.faults == ("a is wrong", "b is too")
    assert str(error) == "2 things are wrong:\n- a is wrong\n- b is too"


def fail(error: Exception) -> int:
    raise error


def test_the_faults_of_several_steps_become_one_error():
    faults = Faults()
    assert faults.attempt(lambda: 3) == 3
    faults.attempt(lambda: fail(ConfigError(["a", "b"])))
    faults.attempt(lambda: fail(NotFoundError("c")))
    with pytest.raises(ConfigError) as raised:
        faults.raise_any()
    assert raised.value.faults == ("a", "b", "c")


def test_without_a_fault_nothing_is_raised():
    faults = Faults()
    faults.attempt(lambda: 3)
    faults.raise_any()


@pytest.mark.parametrize("error", [StorageError("x"), ValueError("x"), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_what_is_no_fault_of_the_user_is_not_collected(error: Exception):
    with pytest.raises(type(error)):
        Faults().attempt(lambda: fail(error))
