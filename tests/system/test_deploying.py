"""A service that DAGs deploy, ask, update, wait for and delete in a real Airflow, as users write them, and where its keys are not.

It goes through one life, so each test stands on the fixtures of those before it; what has a service of its own runs beside that.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.deployment.local.folder import ServiceFolder
from airflow_batchinfer.deployment.target import Target
from airflow_batchinfer.workspace import Workspace
from dags.demo.rest import wait_until
from tests.integration.leftovers import children, is_alive, wait_for_the_end
from tests.system.live import LiveAirflow
from tests.system.steps import patient

pytestmark = pytest.mark.services

DIGITS, TRIAL = "digits", "trial"
GIVEN_KEY, TRIAL_KEY = "g1ven-by-a-v4riable-of-airflow", "g1ven-to-the-tri4l-and-to-none-else"
ANSWERS = """
import os

def init():
    global weights
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "weights_of_digits.bin")) as file:
        weights = file.read()

def run(raw_data):
    return {"by": NAME, "weights": weights}
"""
RAISES = """
def init():
    raise RuntimeError("the weights are of another network")

def run(raw_data):
    pass
"""
# It notes that it has begun, and goes on when the gate is there.
WAITS = """
import os, time

def init():
    with open(GATE + ".begun", "a") as file:
        file.write("once\\n")
    while not os.path.exists(GATE):
        time.sleep(0.02)

def run(raw_data):
    return {"by": NAME}
"""
DAGS = """
from datetime import timedelta

from airflow.sdk import DAG, Param, task

from airflow_batchinfer import (
    DeleteScoringService, DeployScoringService, InferenceConfig, RegenerateKey, RegisterModel, ScoringServiceSensor, ServiceConfig
)


def deployment(task_id, script, *, name="digits", config=ServiceConfig(num_replicas=1), **more):
    inference = InferenceConfig(source_directory="serving", entry_script=script)
    return DeployScoringService(
        task_id=task_id, name=name, inference_config=inference, service_config=config, retries=2, retry_delay=timedelta(seconds=1), **more
    )


@task
def ask(deployed):
    import requests

    from airflow_batchinfer.hooks.scoring_service import ScoringServiceHook

    keys = ScoringServiceHook().get_keys(deployed["name"])
    print("the keys are", *keys)
    headers = {"Authorization": f"Bearer {keys[0]}"}
    answer = requests.post(deployed["scoring_uri"], json={"data": [1]}, headers=headers, timeout=30)
    answer.raise_for_status()
    return answer.json()


with DAG("serving", schedule=None, params={"script": Param("one.py")}):
    model = RegisterModel(task_id="register", model_name="weights_of_digits", model_path="weights_of_digits.bin")
    deploy = deployment("deploy", "{{ params.script }}", models=[model.output], sample_input={"data": [1]})
    ask(deploy.output) >> deployment("again", "{{ params.script }}", models=[model.output], sample_input={"data": [1]})

with DAG("waits_for_digits", schedule=None):
    ScoringServiceSensor(task_id="wait", name="digits", poke_interval=0.5)

with DAG("rotates", schedule=None):
    RegenerateKey(task_id="rotate", name="digits", key="secondary", new_key="{{ var.value.key_of_digits }}")

with DAG("tries_out", schedule=None):
    config = ServiceConfig(num_replicas=1, primary_key="{{ var.value.key_of_the_trial }}")
    deploy = deployment("deploy", "slow.py", name="trial", config=config, deferrable=True)
    delete = DeleteScoringService(task_id="delete", name="trial")

    @task(retries=0)
    def fail_over(answer):
        raise ValueError(answer)

    fail_over(ask(deploy.output)) >> delete.as_teardown(setups=deploy)

with DAG("ends", schedule=None):
    DeleteScoringService(task_id="delete", name="digits") >> DeleteScoringService(task_id="again", name="digits")
"""


@dataclass(frozen=True)
class Life:
    """The DAGs, and the services as they are seen from beside Airflow."""

    airflow: LiveAirflow
    root: Path

    @property
    def workspace(self) -> Workspace:
        return Workspace.at(str(self.airflow.standalone.home / "batchinfer"))

    @property
    def target(self) -> Target:
        return deploying.opened(self.workspace, DIGITS)

    def folder(self, name: str) -> ServiceFolder:
        return ServiceFolder.of(name, self.workspace.url)

    def processes(self, name: str) -> list[int]:
        """The two that look after each other, and all below them."""
        folder = self.folder(name)
        found = [holder["pid"] for lock in (folder.guardian, folder.router) if (holder := lock.holder())]
        for pid in found:
            found += [child for child in children(pid) if child not in found]
        return found

    def ask(self, key: str | None = None) -> httpx.Response:
        """From outside of Airflow; with the primary key unless another is given."""
        uri = self.target.status(DIGITS).scoring_uri
        key = key or self.target.keys(DIGITS)[0]
        return httpx.post(uri, json={"data": [1]}, headers={"Authorization": f"Bearer {key}"}, trust_env=False)

    def trigger(self, dag: str, conf: Mapping[str, Any] | None = None) -> "Run":
        return Run(self.airflow, dag, self.airflow.rest.trigger(dag, conf))


@dataclass(frozen=True)
class Run:
    """A run of one of the DAGs."""

    airflow: LiveAirflow
    dag: str
    run_id: str

    def wait(self, state: str = "success") -> "Run":
        self.airflow.rest.wait_for(self.dag, self.run_id, [state], 90)
        return self

    @property
    def states(self) -> dict[str, str | None]:
        return self.airflow.rest.states(self.dag, self.run_id)

    def gave(self, task: str) -> Any:  # noqa: ANN401 - JSON
        return self.airflow.rest.xcom(self.dag, self.run_id, task)

    def log(self, task: str, try_number: int = 1) -> str:
        """Nothing of a try that has not begun."""
        if self.tries(task) < try_number:
            return ""
        return self.airflow.rest.log(self.dag, self.run_id, task, try_number=try_number)

    def tries(self, task: str) -> int:
        tasks = self.airflow.rest.task_instances(self.dag, self.run_id)
        return next((each["try_number"] for each in tasks if each["task_id"] == task), 0)


@pytest.fixture(scope="module")
def life(airflow: LiveAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    root = tmp_path_factory.mktemp("deploying")
    with patient(airflow) as live, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHINFER_CACHE", live.standalone.environment["BATCHINFER_CACHE"])
        life = Life(live, root)
        for name, value in (("key_of_digits", GIVEN_KEY), ("key_of_the_trial", TRIAL_KEY)):
            live.rest.request("POST", "/api/v2/variables", json={"key": name, "value": value})
        put(live.standalone.dags_folder / "serving", root)
        Path(life.workspace.url, "weights_of_digits.bin").write_text("heavy")
        live.add_dag("serving.py", DAGS)
        yield life
        for name in (DIGITS, TRIAL):  # where a test failed before its end
            deploying.delete(life.workspace, name)


def put(folder: Path, root: Path) -> None:
    """The scripts; those of `two.py` and `slow.py` wait for gates of their own."""
    folder.mkdir()
    texts = {"one.py": ANSWERS, "raises.py": RAISES, "two.py": WAITS, "slow.py": WAITS}
    for name, text in texts.items():
        (folder / name).write_text(text.replace("NAME", repr(name)).replace("GATE", repr(str(root / name))))


@pytest.fixture(scope="module")
def waiting(life: Life) -> Run:
    """A sensor that begins before there is a service."""
    run = life.trigger("waits_for_digits")
    wait_until(lambda: f"There is no service {DIGITS} yet" in run.log("wait"), "the sensor has looked once", 60)
    return run


@pytest.fixture(scope="module")
def tried(life: Life) -> Run:
    """A service of its own, which takes long to come up while the worker's slot is free."""
    run = life.trigger("tries_out")
    wait_until(lambda: run.states.get("deploy") == "deferred", "the deployment is deferred", 60)
    return run


@pytest.fixture(scope="module")
def first(life: Life, waiting: Run, tried: Run) -> Run:
    return life.trigger("serving").wait()


def test_a_service_is_deployed_and_asked_by_the_tasks_that_follow_and_the_same_again_does_nothing(life: Life, first: Run):
    deployed = first.gave("deploy")
    assert {"name": DIGITS, "state": "Healthy", "revision": 1}.items() <= deployed.items()
    assert set(deployed) == {"name", "state", "scoring_uri", "swagger_uri", "revision", "spec_hash"}
    assert first.gave("ask") == {"by": "one.py", "weights": "heavy"}
    assert first.gave("again") == deployed
    assert life.folder(DIGITS).revisions() == [1]


def test_a_service_outlives_the_run_that_deployed_it(life: Life, first: Run):
    assert life.ask().json() == {"by": "one.py", "weights": "heavy"}
    assert life.ask("n0t-the-key-0f-th1s").status_code == 401


def test_a_sensor_that_began_before_the_service_waits_until_it_answers_and_gives_what_a_deployment_gives(first: Run, waiting: Run):
    waiting.wait()
    assert waiting.gave("wait") == first.gave("deploy")


@pytest.fixture(scope="module")
def failed(life: Life, first: Run) -> Run:
    return life.trigger("serving", {"script": "raises.py"}).wait("failed")


def test_a_revision_whose_init_raises_fails_its_task_at_once_with_the_traceback_and_the_one_before_goes_on(life: Life, failed: Run):
    assert failed.states == {"register": "success", "deploy": "failed", "ask": "upstream_failed", "again": "upstream_failed"}
    assert failed.tries("deploy") == 1
    log = failed.log("deploy")
    assert 'raises.py", line 3, in init' in log
    assert "RuntimeError: the weights are of another network" in log
    assert "revision 2 of the service 'digits' failed" in log
    assert "revision 1 goes on serving" in log
    assert life.ask().json()["by"] == "one.py"


@pytest.fixture(scope="module")
def ended_early(life: Life, failed: Run) -> Run:
    """An update whose task is marked failed while the new revision comes up."""
    run = life.trigger("serving", {"script": "two.py"})
    wait_until((life.root / "two.py.begun").exists, "the new revision comes up", 60)
    life.airflow.rest.set_task_state("serving", run.run_id, "deploy", "failed")
    wait_until(lambda: "whatever serves as 'digits' goes on" in run.log("deploy"), "the task has ended", 60)
    return run.wait("failed")


def test_a_task_that_is_ended_while_it_waits_leaves_the_service_alone(life: Life, ended_early: Run):
    status = life.target.status(DIGITS)
    assert (status.state, status.revision, status.wanted) == ("Transitioning", 1, 3)
    assert life.ask().json()["by"] == "one.py"


@pytest.fixture(scope="module")
def updated(life: Life, ended_early: Run) -> Run:
    """The same task, cleared; it finds the revision that comes up."""
    life.airflow.rest.clear("serving", ended_early.run_id, ["deploy"], include_downstream=True)
    wait_until(lambda: "is to serve revision 3" in ended_early.log("deploy", 2), "the second try", 60)
    (life.root / "two.py").touch()
    return ended_early.wait()


def test_a_task_that_is_cleared_waits_for_the_revision_that_its_first_try_began_which_then_answers(life: Life, updated: Run):
    assert updated.gave("deploy")["revision"] == updated.gave("again")["revision"] == 3
    assert updated.gave("ask") == life.ask().json() == {"by": "two.py"}
    assert (life.root / "two.py.begun").read_text() == "once\n"


@pytest.fixture(scope="module")
def keys(life: Life, updated: Run) -> Sequence[str]:
    """The primary key, the secondary one, and the one that this becomes."""
    before = life.target.keys(DIGITS)
    life.trigger("rotates").wait()
    return [*before, GIVEN_KEY]


def test_a_key_is_replaced_at_once_by_one_that_a_variable_of_airflow_holds_and_the_other_stays_good(life: Life, keys: Sequence[str]):
    assert [life.ask(key).status_code for key in keys] == [200, 401, 200]


def test_a_deferred_deployment_goes_on_when_the_service_answers_and_a_teardown_leaves_nothing_also_when_a_task_between_fails(
    life: Life, tried: Run, keys: Sequence[str]
):
    processes = life.processes(TRIAL)
    assert len(processes) >= 4  # the guardian, the router, a keeper, a replica
    (life.root / "slow.py").touch()
    tried.wait("failed")
    assert tried.states == {"deploy": "success", "ask": "success", "fail_over": "failed", "delete": "success"}
    assert tried.gave("ask") == {"by": "slow.py"}
    assert (tried.gave("deploy")["revision"], tried.tries("deploy")) == (1, 1)
    for pid in processes:
        wait_for_the_end(pid, 10)
    assert not life.folder(TRIAL).path.exists()
    assert deploying.find(life.workspace, TRIAL) is None


def test_keys_are_masked_where_a_task_prints_them_and_are_in_no_xcom_no_field_no_log_and_no_database(
    life: Life, tried: Run, keys: Sequence[str]
):
    assert "the keys are *** ***" in tried.log("ask")
    # LocalExecutor also copies what tasks log to the scheduler's output, and Airflow masks nothing there.
    home = [file for file in life.airflow.standalone.home.rglob("*") if file.is_file() and file.name != "scheduler.log"]
    ours = [file for file in life.folder(DIGITS).path.parent.rglob("*") if file.is_file()]
    assert any(file.name == "airflow.db" for file in home)
    wanted = [key.encode() for key in (*keys, TRIAL_KEY)]
    assert [file for file in [*home, *ours] if any(key in file.read_bytes() for key in wanted)] == [life.folder(DIGITS).keys]


def test_a_deleted_service_leaves_no_process_no_file_and_no_name_and_deleting_it_again_is_no_error(life: Life, keys: Sequence[str]):
    processes, folder = life.processes(DIGITS), life.folder(DIGITS).path
    assert all(map(is_alive, processes))
    run = life.trigger("ends").wait()
    for pid in processes:
        wait_for_the_end(pid, 10)
    assert DIGITS not in "".join(os.listdir(folder.parent))
    assert deploying.find(life.workspace, DIGITS) is None
    assert f"The service {DIGITS} is deleted" in run.log("delete")
    assert f"The service {DIGITS} was not there" in run.log("again")
