"""What a deployment does about what it finds."""

from itertools import product

import pytest

from airflow_batchinfer.deployment.states import Failure, State, Status, Step, state_of, step_to
from airflow_batchinfer.errors import ConflictError


def status(state: State = State.HEALTHY, spec_hash: str = "same", version: str = "1.0") -> Status:
    return Status(name="shop", state=state, target="local", revision=3, wanted=4, hash=spec_hash, version=version)


def step(found: Status | None, *, overwrite: bool = True) -> Step:
    return step_to("same", found, "1.0", overwrite=overwrite)


def test_where_there_is_no_service_it_is_brought_up():
    assert step(None) is Step.APPLY
    assert step(None, overwrite=False) is Step.APPLY


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_same_that_is_healthy_needs_nothing(overwrite: bool):
    assert step(status(), overwrite=overwrite) is Step.NOTHING


@pytest.mark.parametrize("state", [State.TRANSITIONING, State.UNSCHEDULABLE])
def test_the_same_that_comes_up_is_waited_for(state: State):
    assert step(status(state)) is Step.ATTACH


@pytest.mark.parametrize("state", [State.UNHEALTHY, State.FAILED])
def test_the_same_that_does_not_answer_is_tried_again(state: State):
    assert step(status(state)) is Step.APPLY


def test_a_service_of_another_version_of_this_package_is_deployed_anew():
    assert step(status(version="0.9")) is Step.APPLY


@pytest.mark.parametrize("state", sorted(set(State) - {State.TRANSITIONING, State.UNSCHEDULABLE}))
def test_something_else_is_an_update(state: State):
    assert step(status(state, "other")) is Step.APPLY


@pytest.mark.parametrize("overwrite", [True, False])
def test_something_else_that_comes_up_is_a_conflict(overwrite: bool):
    for state in (State.TRANSITIONING, State.UNSCHEDULABLE):
        with pytest.raises(ConflictError, match="just being changed to revision 4"):
            step(status(state, "other"), overwrite=overwrite)


def test_what_serves_though_some_of_its_replicas_have_no_gpu_may_be_updated():
    assert step(Status(**{**vars(status(State.UNSCHEDULABLE, "other")), "revision": 4})) is Step.APPLY


def test_something_else_is_a_conflict_where_nothing_may_be_overwritten():
    with pytest.raises(ConflictError, match="overwrite=True to update it"):
        step(status(spec_hash="other"), overwrite=False)


def test_a_service_that_is_being_deleted_is_brought_up_anew():
    found = Status(name="shop", state=State.TRANSITIONING, target="local", revision=None, wanted=None, hash=None)
    assert step(found) is Step.APPLY


def test_a_status_is_the_same_after_json():
    found = status()
    assert Status.from_plain(found.as_plain()) == found
    failed = Status(**{**vars(found), "failure": Failure(4, "same", "init() raised", "Traceback")})
    assert Status.from_plain(failed.as_plain()) == failed


def test_the_interface_is_beside_the_scoring_uri():
    found = Status(**{**vars(status()), "scoring_uri": "https://host:1/score"})
    assert found.swagger_uri == found.as_plain()["swagger_uri"] == "https://host:1/swagger.json"
    assert status().swagger_uri is None


@pytest.mark.parametrize(("is_changing", "failed", "ready"), list(product([True, False], [True, False], [0, 1])))
def test_a_replica_without_a_gpu_is_told_before_all_else(is_changing: bool, failed: bool, ready: int):
    assert state_of(is_changing=is_changing, failed=failed, ready=ready, without_gpu=1) is State.UNSCHEDULABLE


@pytest.mark.parametrize(
    ("is_changing", "failed", "ready", "state"),
    [
        (True, False, 1, State.TRANSITIONING),
        (False, True, 1, State.FAILED),
        (False, False, 0, State.UNHEALTHY),
        (False, False, 1, State.HEALTHY),
    ],
)
def test_a_state_says_what_matters_most(is_changing: bool, failed: bool, ready: int, state: State):
    assert state_of(is_changing=is_changing, failed=failed, ready=ready, without_gpu=0) is state
