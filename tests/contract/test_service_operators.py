"""What Airflow makes of the operators of services when it reads a DAG file, and what it renders and stores of them: never a key."""

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, XComArg
from airflow.serialization.serialized_objects import DagSerialization

from airflow_batchinfer import (
    DeleteScoringService,
    DeployScoringService,
    InferenceConfig,
    LocalTarget,
    PythonEnvironment,
    RegenerateKey,
    ScoringServiceSensor,
    ServiceConfig,
)
from airflow_batchinfer.deployment.states import Failure, State, Status
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.operators.asked_service import inference_of, service_of, target_of, told
from tests.contract.dag_desk import Desk, register
from tests.contract.test_dag_templates import plain

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
KEY, OTHER_KEY = "k3y-0f-the-p4rtner", "the-0ther-p4rtners-key"
DEPLOYS = f"""
from airflow.sdk import DAG, Param

from airflow_batchinfer import DeleteScoringService, DeployScoringService, InferenceConfig, RegenerateKey, RegisterModel, ServiceConfig

with DAG("serve", schedule=None, params={{"replicas": Param(1, minimum=1)}}) as dag:
    model = RegisterModel(task_id="register", model_name="shop", model_path="trained/shop")
    deploy = DeployScoringService(
        task_id="deploy",
        name="shop-scoring",
        models=[model.output],
        inference_config=InferenceConfig(source_directory="entry_scripts", entry_script="digit_identification.py"),
        service_config=ServiceConfig(
            num_replicas="{{{{ params.replicas }}}}", primary_key="{KEY}", secondary_key="{{{{ conn.shop.password }}}}", tags={{"a": "b"}}
        ),
        sample_input={{"data": [1, 2, 3]}},
    )
    rotate = RegenerateKey(task_id="rotate", name="shop-scoring", key="secondary", new_key="{OTHER_KEY}")
    delete = DeleteScoringService(task_id="delete", name="shop-scoring")
    deploy >> rotate >> delete.as_teardown(setups=deploy)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def deployment(task_id: str = "deploy", **given: object) -> DeployScoringService:
    ours = {"name": "shop-scoring", "inference_config": InferenceConfig(entry_script="score.py")}
    return DeployScoringService(task_id=task_id, **{**ours, **given})  # type: ignore[arg-type]


def faults(desk: Desk, make: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised, desk.dag():
        make()
    return raised.value.faults


# What can be known to be wrong when the file is read.


def test_every_fault_of_a_deployment_is_in_one_error(desk: Desk):
    found = faults(
        desk,
        lambda: deployment(
            name="Shop_Scoring",
            inference_config=InferenceConfig(entry_script="gone.py", environment=PythonEnvironment(requirements="gone.txt")),
            service_config={"num_replicas": 2},
            models="shop",
            target="locl",
            workspace="/ws",
            workspace_conn_id="ws",
            timeout="soon",
            overwrite="no",
        ),
    )
    assert [fault.partition("=")[0].partition(":")[0] for fault in found] == [
        "the service name 'Shop_Scoring'",
        "workspace",
        "service_config",
        "models",
        "target",
        "timeout",
        "overwrite",
        "entry_script",
        "requirements",
    ]
    assert "did you mean local?" in found[4]


@pytest.mark.parametrize("flag", ["wait_for_deployment", "overwrite", "rollback_on_failure", "deferrable"])
@pytest.mark.parametrize("value", ["{{ params.x }}", "False", 0, None])
def test_a_flag_is_true_or_false_since_any_text_would_be_true(desk: Desk, flag: str, value: object):
    assert faults(desk, lambda: deployment(**{flag: value})) == (f"{flag}={value!r}: give True or False; it cannot be a template",)


@pytest.mark.parametrize("timeout", ["600", "{{ params.x }}", 0, -1, None, True, float("nan")], ids=repr)
def test_a_timeout_is_a_number_of_seconds(desk: Desk, timeout: object):
    assert faults(desk, lambda: deployment(timeout=timeout)) == (f"timeout={timeout!r}: give a number of seconds, more than 0",)


@pytest.mark.parametrize(
    "given", [{"service_config": 1}, {"inference_config": "score.py"}, {"target": {"host": "x"}}, {"sample_input": {1, 2}}], ids=repr
)
def test_what_is_of_the_wrong_kind_is_named(desk: Desk, given: dict[str, object]):
    [fault] = faults(desk, lambda: deployment(**given))
    assert fault.startswith(next(iter(given)))


def test_the_others_tell_every_fault_in_one_error_too(desk: Desk):
    wrong: dict[str, Any] = {"name": "x", "workspace": "ws", "task_id": "task"}
    for operator in (DeleteScoringService, ScoringServiceSensor):
        assert len(faults(desk, lambda operator=operator: operator(**wrong))) == 2
    found = faults(desk, lambda: RegenerateKey(**wrong, key="third", new_key="short"))
    assert [fault.partition("=")[0].partition(":")[0] for fault in found] == ["the service name 'x'", "workspace", "key", "new_key"]
    assert "short" not in found[3].removeprefix("new_key: ").split("characters")[0].split()


def test_what_a_template_may_still_give_is_no_fault_yet(desk: Desk):
    with desk.dag():
        deployment(
            name="shop-{{ params.shop }}",
            inference_config=InferenceConfig(entry_script="{{ params.script }}", source_directory="{{ params.folder }}"),
            service_config=ServiceConfig(num_replicas="{{ params.replicas }}", primary_key="{{ params.key }}"),
            workspace="{{ var.value.workspace }}",
        )
        RegenerateKey(task_id="rotate", name="{{ params.shop }}", key="{{ params.which }}", new_key="{{ params.key }}")
        DeleteScoringService(task_id="delete", name="{{ params.shop }}")
        ScoringServiceSensor(task_id="wait", name="{{ params.shop }}")


def test_the_output_of_a_task_can_be_no_key_since_airflow_stores_outputs(desk: Desk):
    def deploys() -> object:
        key = register().output
        return deployment(service_config=ServiceConfig(primary_key=key, secondary_key=key))

    told = "the output of a task cannot be given there, since Airflow stores it; give a template of a connection or a variable"
    assert faults(desk, deploys) == (f"primary_key, secondary_key: {told}",)
    rotates = lambda: RegenerateKey(task_id="rotate", name="shop-scoring", new_key=register().output)  # noqa: E731
    assert faults(desk, rotates) == (f"new_key: {told}",)


def test_the_dag_of_the_howto_is_read_without_a_fault(desk: Desk):
    (desk.folder / "entry_scripts" / "score.py").write_text("def run(raw_data):\n    return raw_data\n")
    [text, _] = re.findall(r"^```python\n(.*?)^```", (HOWTO / "deploy-a-scoring-service.md").read_text(), re.MULTILINE | re.DOTALL)
    bag = DagBag(desk.write(text))
    assert bag.import_errors == {}
    assert bag.dags["serve_shop"].get_task("deploy").upstream_task_ids == {"register"}


def test_services_may_be_mapped_over_their_names_and_no_key_of_their_config_is_stored(desk: Desk):
    inference, config = InferenceConfig(entry_script="score.py"), ServiceConfig(num_replicas=2, primary_key=KEY)
    with desk.dag() as dag:
        DeployScoringService.partial(task_id="deploy", inference_config=inference, service_config=config).expand(name=["one", "two"])
    assert KEY not in json.dumps(DagSerialization.to_dict(dag))
    one = dag.get_task("deploy").unmap({"name": "one"})
    assert (one.name, one.service_config["num_replicas"], one.rendered_keys(one.keys, {})) == ("one", 2, {"primary_key": KEY})


# What is rendered.


def test_template_fields_hold_plain_values_alone_and_outputs_of_tasks(desk: Desk):
    with desk.dag():
        deploy = deployment(
            name=register("a").output,
            inference_config=InferenceConfig(
                entry_script="digit_identification.py",
                source_directory="entry_scripts",
                environment=PythonEnvironment(requirements=["six", "numpy=={{ params.numpy }}"]),
            ),
            service_config=ServiceConfig(num_replicas=register("b").output, primary_key=KEY, tags={"x": "y"}),
            models=(register("c").output, register("d"), "m:1"),
            target=LocalTarget(host="0.0.0.0", port=8500),  # noqa: S104 - nothing listens
            sample_input={"data": [[1, 2.5, None, True, "{{ params.x }}"]]},
        )
    tasks: list[object] = []
    for name in deploy.template_fields:
        assert plain(getattr(deploy, name), tasks), name
    assert tasks == ["a", "c", "d", "b"]
    assert deploy.upstream_task_ids == {"a", "b", "c", "d"}


def test_the_output_of_register_model_makes_the_deployment_wait_for_it(desk: Desk):
    with desk.dag() as dag:
        deployment("one", models=[register("first").output])
        deployment("two", models=[register("second")])
    assert [dag.get_task(name).upstream_task_ids for name in ("one", "two")] == [{"first"}, {"second"}]


def test_templates_are_rendered_anew_for_each_run_in_every_field_and_numbers_of_a_config_become_numbers(desk: Desk):
    numbers = {"num_replicas": 3, "cpu_cores": 0.5, "scoring_timeout_ms": 2000, "gpu_cores": 0}
    with desk.dag():
        deploy = deployment(
            name="shop-{{ params.run }}",
            models=["shop:{{ params.run }}"],
            inference_config=InferenceConfig(
                entry_script="{{ params.script }}",
                source_directory="{{ params.folder }}",
                environment=PythonEnvironment(requirements=["six=={{ params.run }}"]),
            ),
            service_config=ServiceConfig(
                **{name: f"{{{{ params.{name} }}}}" for name in numbers},
                autoscale_enabled="{{ params.scales }}",
                primary_key="key-of-the-run-{{ params.run }}",
                tags={"run": "{{ params.run }}"},
            ),
            target=LocalTarget(host="{{ params.host }}"),
            sample_input={"data": ["{{ params.run }}"]},
            workspace="/ws/{{ params.run }}",
        )
    for run in (1, 2):
        ours = deploy.prepare_for_execution()
        context: Any = {
            "params": {**numbers, "run": run, "script": "a.py", "folder": None, "scales": False, "host": "localhost"},
        }
        ours.render_template_fields(context)
        assert (ours.name, ours.models, ours.workspace) == (f"shop-{run}", [f"shop:{run}"], f"/ws/{run}")
        assert ours.sample_input == {"data": [str(run)]}
        inference = inference_of(ours.inference_config)
        assert (inference.entry_script, inference.source_directory) == ("a.py", None)
        assert inference.environment.requirements == (f"six=={run}",)
        keys = ours.rendered_keys(ours.keys, context)
        config = service_of(ours.service_config, keys)
        assert {name: getattr(config, name) for name in numbers} == numbers
        assert (config.autoscales, config.primary_key, config.tags) == (False, f"key-of-the-run-{run}", {"run": str(run)})
        assert target_of(ours.target) == LocalTarget(host="localhost")
    assert deploy.service_config["num_replicas"] == "{{ params.num_replicas }}"


@pytest.mark.parametrize("rendered", [None, "", "None"], ids=repr)
def test_a_number_whose_template_gave_nothing_is_the_default(desk: Desk, rendered: object):
    with desk.dag():
        deploy = deployment(service_config=ServiceConfig(num_replicas="{{ params.x }}", scoring_timeout_ms="{{ params.x }}"))
    ours = deploy.prepare_for_execution()
    context: Any = {"params": {"x": rendered}}
    ours.render_template_fields(context)
    assert service_of(ours.service_config, {}) == ServiceConfig()


def test_a_sample_that_is_called_like_a_template_file_is_no_template_file(desk: Desk):
    with desk.dag():
        deploy = deployment(sample_input="all.json", models=["m.sql"])
    deploy.resolve_template_files()
    assert (deploy.sample_input, deploy.models) == ("all.json", ["m.sql"])


# What is stored.


def test_what_a_deployment_gives_are_six_plain_values_and_no_key():
    failure = Failure(2, "def", "it raised", "Traceback")
    status = Status(
        name="shop",
        state=State.HEALTHY,
        target="local",
        revision=1,
        wanted=1,
        hash="abc",
        scoring_uri="http://127.0.0.1:8500/score",
        failure=failure,
    )
    given = told(status)
    assert given == {
        "name": "shop",
        "state": "Healthy",
        "scoring_uri": "http://127.0.0.1:8500/score",
        "swagger_uri": "http://127.0.0.1:8500/swagger.json",
        "revision": 1,
        "spec_hash": "abc",
    }
    assert {type(value) for value in given.values()} == {str, int}


def test_no_key_is_in_what_airflow_stores_of_a_dag_nor_a_template_of_one(desk: Desk):
    file = desk.write(DEPLOYS)
    assert DagBag(file).import_errors == {}
    dag = runpy.run_path(str(file))["dag"]
    text = json.dumps(DagSerialization.to_dict(dag))
    assert "shop-scoring" in text
    assert not [each for each in (KEY, OTHER_KEY, "conn.shop") if each in text]


def test_no_key_is_in_what_airflow_shows_of_a_task(desk: Desk):
    dag: DAG = runpy.run_path(str(desk.write(DEPLOYS)))["dag"]
    for task in dag.tasks:
        shown = [repr(task), *(repr(getattr(task, name)) for name in task.template_fields), repr(getattr(task, "keys", ""))]
        assert not [each for each in shown if KEY in each or OTHER_KEY in each or "conn.shop" in each]
    assert repr(dag.get_task("deploy").keys) == "<primary_key, secondary_key: rendered when the task runs, never stored>"


def test_a_deployment_deletion_and_sensor_stand_in_a_dag_as_any_task_does(desk: Desk):
    bag = DagBag(desk.write(DEPLOYS))
    dag = bag.dags["serve"]
    assert dag.get_task("deploy").upstream_task_ids == {"register"}
    assert isinstance(dag.get_task("deploy").output, XComArg)
    assert (dag.get_task("deploy").is_setup, dag.get_task("delete").is_teardown) == (True, True)
    back = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert list(back.get_task("deploy").template_fields) == list(DeployScoringService.template_fields)
