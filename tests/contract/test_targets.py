"""What every target must do, over all targets there are: real services, real requests."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.deployment.states import State
from airflow_batchinfer.deployment.target import UnderWay
from airflow_batchinfer.errors import ConflictError, DeploymentError, NotFoundError, ScriptError
from airflow_batchinfer.registry import ModelRegistry
from tests.integration.deployed import NAME, RAISES, Callers, Deployer, answers, waits
from tests.integration.lab import Lab, open_lab
from tests.integration.leftovers import MARK, wait_until

pytestmark = pytest.mark.deploys

KEYS = ("given-key-0123456789", "other-key-0123456789")


@pytest.fixture(params=["local"])
def deployer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployer]:
    """A place to deploy to; what a test leaves there is deleted, and then nothing of it may live."""
    with open_lab(tmp_path) as lab:
        monkeypatch.setenv(MARK, lab.mark)
        for name, value in lab.settings.items():
            monkeypatch.setenv(name, value)
        made = make_deployer(request.param, lab)
        try:
            yield made
        finally:
            for record in deploying.all_records(made.workspace):
                made.delete(record.name)


def make_deployer(target: str, lab: Lab) -> Deployer:
    assert target == "local"
    return Deployer(lab)


def test_a_service_answers_with_its_key_and_with_no_other(deployer: Deployer):
    status = deployer.deploy(answers(1))
    assert (status.state, status.revision, status.wanted, status.replicas_ready) == (State.HEALTHY, 1, 1, 1)
    primary, secondary = deployer.target.keys(NAME)
    assert [deployer.ask(key=key).status for key in (primary, secondary, None, "wrong")] == [200, 200, 401, 401]
    assert deployer.ask("hello").value["got"] == "hello"


def test_there_is_nothing_of_a_name_that_was_never_deployed(deployer: Deployer):
    assert deployer.target.status(NAME) is None
    assert not deployer.target.delete(NAME)
    for ask in (lambda t: t.rollback(NAME), lambda t: t.keys(NAME), lambda t: t.regenerate(NAME, 0, None), lambda t: t.logs(NAME, 1)):
        with pytest.raises(NotFoundError, match=NAME):
            ask(deployer.target)


def test_the_same_again_does_nothing(deployer: Deployer):
    first = deployer.deploy(answers(1))
    pid = deployer.ask().value["pid"]
    assert deployer.deploy(answers(1), tags={"told": "only"}) == first
    assert deployer.ask().value["pid"] == pid


def test_an_update_loses_no_request(deployer: Deployer):
    deployer.deploy(answers(1), num_replicas=2)
    with Callers(deployer, 8).calling() as callers:
        status = deployer.deploy(answers(2))
    assert (status.revision, status.state) == (2, State.HEALTHY)
    assert set(callers.revisions) == {1, 2}
    assert callers.revisions[-1] == 2


def test_a_revision_that_fails_leaves_the_one_before_and_says_why(deployer: Deployer):
    deployer.deploy(answers(1))
    with Callers(deployer, 4).calling() as callers, pytest.raises(ScriptError, match=r"revision 2 .* failed") as failed:
        deployer.deploy(RAISES)
    assert "the weights are missing" in failed.value.of_the_script
    assert set(callers.revisions) == {1}
    status = deployer.status()
    assert (status.state, status.revision, status.wanted, status.failure.revision) == (State.HEALTHY, 1, 1, 2)


def test_a_failure_that_is_not_taken_back_stays_what_is_wanted_and_the_one_before_answers(deployer: Deployer):
    deployer.deploy(answers(1))
    with pytest.raises(ScriptError):
        deployer.deploy(RAISES, rollback_on_failure=False)
    status = deployer.status()
    assert (status.state, status.revision, status.wanted) == (State.FAILED, 1, 2)
    assert deployer.ask().value["revision"] == 1
    deployer.target.rollback(NAME)
    assert deployer.status().state is State.HEALTHY


def test_a_first_revision_that_fails_can_be_followed_by_a_good_one(deployer: Deployer):
    with pytest.raises(ScriptError, match="the script cannot be served"):
        deployer.deploy(RAISES)
    assert deployer.status().state is State.FAILED
    assert deployer.ask().status == 503
    assert deployer.deploy(answers(2)).state is State.HEALTHY
    assert deployer.ask().value["revision"] == 2


def test_what_failed_may_be_tried_again(deployer: Deployer):
    deployer.deploy(answers(1))
    for number in (2, 3):
        with pytest.raises(ScriptError, match=f"revision {number}"):
            deployer.deploy(RAISES)


def test_a_revision_that_does_not_answer_the_sample_gets_no_request(deployer: Deployer):
    deployer.deploy(answers(1), sample_input=[1])
    picky = "def run(raw):\n    raise ValueError(f'no such column: {raw}')"
    with pytest.raises(ScriptError, match="the sample input got no answer") as failed:
        deployer.deploy(picky, sample_input={"column": 1})
    assert 'no answer: ValueError: no such column: {"column": 1}; revision 1 goes on serving' in failed.value.told
    assert "Traceback" in failed.value.of_the_script
    assert deployer.ask().value["revision"] == 1


def test_while_one_revision_comes_up_another_is_a_conflict_and_the_same_attaches(deployer: Deployer):
    gate = deployer.lab.root / "gate"
    deployer.deploy(answers(1))
    number = deployer.begin(waits(gate, 2))
    assert deployer.status().state is State.TRANSITIONING
    with pytest.raises(ConflictError, match="just being changed to revision 2"):
        deployer.begin(answers(3))
    assert deployer.begin(waits(gate, 2)) == number
    assert deployer.ask().value["revision"] == 1
    gate.touch()
    assert deployer.deploy(waits(gate, 2)).revision == number


def test_of_two_that_deploy_the_same_at_once_both_get_the_same_revision(deployer: Deployer):
    script, got = answers(1), []
    order = deployer.order(script)
    threads = [threading.Thread(target=lambda: got.append(deploying.begin(deployer.asked, order, time.monotonic() + 30))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1] * 4


def test_a_revision_that_comes_up_can_be_taken_back(deployer: Deployer):
    deployer.deploy(answers(1))
    number = deployer.begin(waits(deployer.lab.root / "never", 2))
    deployer.target.rollback(NAME)
    status = wait_until(lambda: (found := deployer.status()).state is State.HEALTHY and found, "it is healthy again")
    assert (status.revision, status.wanted, status.failure.revision) == (1, 1, number)
    with pytest.raises(ScriptError, match="taken back before it was ready"):
        deploying.look(deployer.target, NAME, number)


def test_one_that_serves_can_be_taken_back_to_the_one_before_it(deployer: Deployer):
    deployer.deploy(answers(1))
    with pytest.raises(ConflictError, match="no revision to go back to"):
        deployer.target.rollback(NAME)
    deployer.deploy(answers(2))
    deployer.target.rollback(NAME)
    wait_until(lambda: deployer.status().revision == 1, "the first serves")
    assert deployer.ask().value["revision"] == 1


def test_who_waits_too_long_is_told_and_the_one_before_goes_on(deployer: Deployer):
    deployer.deploy(answers(1))
    number = deployer.begin(waits(deployer.lab.root / "never", 2))
    wait_until(lambda: deployer.status().detail, "it says how far it is")
    with pytest.raises(DeploymentError, match=r"Transitioning and not Healthy in time .*0 of 1 replicas"):
        deploying.wait(deployer.target, NAME, number, time.monotonic(), lambda _: None)
    deploying.take_back(deployer.target, NAME, number)
    wait_until(lambda: deployer.status().state is State.HEALTHY, "it is healthy again")
    assert deployer.ask().value["revision"] == 1


def test_nothing_is_overwritten_where_that_is_not_wanted(deployer: Deployer):
    deployer.deploy(answers(1), overwrite=False)
    with pytest.raises(ConflictError, match="overwrite=True"):
        deployer.deploy(answers(2), overwrite=False)


def test_a_key_is_replaced_at_once_and_the_other_stays_good(deployer: Deployer):
    deployer.deploy(answers(1))
    primary, secondary = deployer.target.keys(NAME)
    with Callers(deployer, 4, secondary).calling() as callers:
        deployer.target.regenerate(NAME, 0, None)
        assert deployer.ask(key=primary).status == 401
        assert deployer.ask().status == 200
    assert set(callers.revisions) == {1}
    deployer.target.regenerate(NAME, 1, KEYS[1])
    assert deployer.target.keys(NAME)[1] == KEYS[1]
    assert deployer.ask(key=KEYS[1]).status == 200


def test_keys_survive_an_update_and_those_that_are_given_count_when_it_serves(deployer: Deployer):
    deployer.deploy(answers(1))
    primary, secondary = deployer.target.keys(NAME)
    with pytest.raises(ScriptError):
        deployer.deploy(RAISES, primary_key=KEYS[0])
    assert deployer.target.keys(NAME) == (primary, secondary)
    deployer.deploy(answers(2), primary_key=KEYS[0])
    assert deployer.target.keys(NAME) == (KEYS[0], secondary)
    assert [deployer.ask(key=key).status for key in (KEYS[0], secondary, primary)] == [200, 200, 401]


def test_without_authentication_there_are_no_keys(deployer: Deployer):
    deployer.deploy(answers(1), auth_enabled=False)
    assert deployer.target.keys(NAME) == ()
    assert deployer.ask(key=None).status == 200


def test_models_are_where_azure_ml_has_them_and_stay_when_a_version_is_deleted(deployer: Deployer):
    registry = ModelRegistry(deployer.workspace)
    for name in ("first", "second"):
        (deployer.lab.root / name).mkdir()
        (deployer.lab.root / name / "w.txt").write_text(name)
        registry.register(name, str(deployer.lab.root / name))
    script = """
import os
def run(raw):
    top = os.environ["AZUREML_MODEL_DIR"]
    return sorted(os.path.relpath(os.path.join(folder, each), top) for folder, _, files in os.walk(top, followlinks=True) for each in files)
"""
    deployer.deploy(script, models=["first"])
    assert deployer.ask().value == ["first/w.txt"]
    deployer.deploy(script, models=["first", "second:1"])
    assert deployer.ask().value == ["first/1/first/w.txt", "second/1/second/w.txt"]
    registry.delete("first:1")
    assert len(deployer.ask().value) == 2


def test_the_log_tells_what_the_script_printed_and_never_a_key_or_a_body(deployer: Deployer):
    script = "import sys\ndef init():\n    print('loaded 7 weights')\ndef run(raw):\n    raise ValueError('bad row')\n"
    deployer.deploy(script)
    assert deployer.ask("a-secret-body").status == 502
    log = wait_until(lambda: "bad row" in (found := deployer.target.logs(NAME, 100)) and found, "the failure is in the log")
    assert "revision 1 replica 0 | loaded 7 weights" in log
    assert not [secret for secret in (*deployer.target.keys(NAME), "a-secret-body") if secret in log]
    assert len(deployer.target.logs(NAME, 2).splitlines()) == 2


def test_two_services_know_nothing_of_each_other(deployer: Deployer):
    deployer.deploy(answers("a"), name="one")
    deployer.deploy(answers("b"), name="two")
    assert deployer.delete("one")
    assert deployer.ask(name="two").value["revision"] == "b"
    assert [record.name for record in deploying.all_records(deployer.workspace)] == ["two"]


def test_after_delete_nothing_is_left_and_the_name_is_free(deployer: Deployer):
    deployer.deploy(answers(1))
    assert deployer.delete()
    assert deployer.target.status(NAME) is None
    assert not deployer.delete()
    assert deployer.deploy(answers(2)).revision == 1


def test_a_request_that_was_let_in_is_answered_while_the_service_is_deleted(deployer: Deployer):
    deployer.deploy(answers(1))
    came: list[int] = []
    caller = threading.Thread(target=lambda: came.append(deployer.ask("0.5").status))
    running = deployer.ask("x").status
    caller.start()
    wait_until(lambda: deployer_is_busy(deployer), "the request runs")
    deployer.delete()
    caller.join()
    assert (running, came) == (200, [200])


def deployer_is_busy(deployer: Deployer) -> bool:
    import http.client
    from urllib.parse import urlsplit

    url = urlsplit(deployer.status().scoring_uri)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {deployer.target.keys(NAME)[0]}"})
    text = connection.getresponse().read().decode()
    connection.close()
    return "batchinfer_requests_running 1" in text


def test_an_operation_while_another_is_prepared_is_told_so(deployer: Deployer):
    deployer.deploy(answers(1))
    with deployer.folder().alone("another deployment", "somebody's"), pytest.raises(UnderWay, match="another deployment is under way"):
        deployer.begin(answers(2))
