"""What the plan task makes of a step once Airflow has rendered it: a pinned job, or one error with every fault."""

from pathlib import Path
from typing import Any

import pytest

from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.operators.asked import plain_config, plain_inputs
from airflow_batchinfer.operators.planning import Asked, plan
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.stored import load_job, load_pin
from airflow_batchinfer.workspace import Workspace, pin_file


def config(**given: object) -> ParallelRunConfig:
    return ParallelRunConfig(**{"entry_script": "score.py", "error_threshold": 10, **given})  # type: ignore[arg-type]


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "score.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    (tmp_path / "ws" / "in").mkdir(parents=True)
    for number in range(5):
        (tmp_path / "ws" / "in" / str(number)).write_text("x")
    return {
        "config": plain_config(config(mini_batch_size=1, node_count=3)),
        "inputs": plain_inputs("in"),
        "models": [],
        "side_inputs": {},
        "arguments": [],
        "output_dir": None,
        "environment_variables": {},
        "allow_reuse": True,
        "allow_empty": False,
        "dag_folder": tmp_path / "dags",
        "run": ("dag", "manual__2026-01-01T00:00:00+00:00", "group.score"),
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(str(tmp_path / "ws"))


def test_plan_pins_a_job_for_the_run_and_says_how_many_nodes_it_takes(workspace: Workspace, asked: dict[str, Any]):
    assert plan(workspace, Asked(**asked)) == 3
    pin = load_pin(workspace, pin_file(*asked["run"]))
    assert pin.output_dir == f"{workspace.url}/outputs/dag/manual__2026-01-01T00:00:00+00:00/group.score"


def test_no_more_nodes_are_taken_than_there_are_mini_batches_and_never_none(workspace: Workspace, asked: dict[str, Any]):
    many = plain_config(config(mini_batch_size=1, node_count=100))
    assert plan(workspace, Asked(**{**asked, "config": many})) == 5
    nothing = {**asked, "inputs": plain_inputs("gone"), "allow_empty": True}
    assert plan(workspace, Asked(**nothing)) == 1


@pytest.mark.parametrize("rendered", [None, "", "None"], ids=repr)
def test_an_output_folder_whose_template_gave_nothing_is_the_run_s_own(workspace: Workspace, asked: dict[str, Any], rendered: str | None):
    plan(workspace, Asked(**{**asked, "output_dir": rendered}))
    assert "/outputs/dag/" in load_pin(workspace, pin_file(*asked["run"])).output_dir


def test_a_relative_output_folder_counts_from_the_workspace(workspace: Workspace, asked: dict[str, Any]):
    plan(workspace, Asked(**{**asked, "output_dir": "results/today"}))
    assert load_pin(workspace, pin_file(*asked["run"])).output_dir == f"{workspace.url}/results/today"


def test_every_fault_that_only_a_run_can_show_is_in_one_error(workspace: Workspace, asked: dict[str, Any]):
    wrong = {**asked["config"], "node_count": "0", "mini_batch_size": "ten"}
    with pytest.raises(ConfigError) as raised:
        plan(workspace, Asked(**{**asked, "config": wrong, "inputs": [{"kind": "files", "paths": [""], "start": 0}], "models": ["nobody"]}))
    assert [fault.partition("=")[0].partition(":")[0] for fault in raised.value.faults[:3]] == ["node_count", "mini_batch_size", "inputs"]
    assert "nobody" in raised.value.faults[3]
    assert len(raised.value.faults) == 4


@pytest.mark.parametrize(
    "name",
    ["node_count", "mini_batch_size", "error_threshold", "run_max_try", "run_invocation_timeout", "logging_level", "append_row_file_name"],
)
def test_what_still_looks_like_a_template_when_all_is_rendered_is_refused(workspace: Workspace, asked: dict[str, Any], name: str):
    """A trigger form takes any text."""
    with pytest.raises(ConfigError, match=name):
        plan(workspace, Asked(**{**asked, "config": {**asked["config"], name: "{{ 7 }}"}}))


def test_more_nodes_than_airflow_maps_are_refused_also_when_only_the_run_knows_how_many(workspace: Workspace, asked: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"node_count=5000: Airflow maps at most 1024 tasks"):
        plan(workspace, Asked(**{**asked, "config": {**asked["config"], "node_count": "5000"}}))


def test_files_that_say_the_environment_count_from_the_dag_s_folder_and_their_content_is_in_the_job(
    workspace: Workspace, asked: dict[str, Any], tmp_path: Path
):
    (tmp_path / "dags" / "requirements.txt").write_text("numpy==1.26.4  # for the model\n-c bounds.txt\n")
    (tmp_path / "dags" / "bounds.txt").write_text("six<2\n")
    environment = PythonEnvironment(requirements="requirements.txt", python="3.11")
    jobs = []
    for bound in ("six<2\n", "six<2\n", "six<3\n"):
        (tmp_path / "dags" / "bounds.txt").write_text(bound)
        plan(workspace, Asked(**{**asked, "config": plain_config(config(environment=environment))}))
        jobs.append(load_pin(workspace, pin_file(*asked["run"])).job)
    stored = Specification.from_json(load_job(workspace, jobs[0]).spec.environment)
    assert stored == Specification(python="3.11", requirements=("numpy==1.26.4",), constraints=("six<2",))
    assert (jobs[0] == jobs[1], jobs[1] == jobs[2]) == (True, False)


def test_a_file_of_the_environment_that_is_gone_is_told_beside_other_faults_and_each_once(workspace: Workspace, asked: dict[str, Any]):
    wrong = {**plain_config(config()), "node_count": "0", "environment": {"requirements": "gone.txt"}}
    with pytest.raises(ConfigError) as raised:
        plan(workspace, Asked(**{**asked, "config": wrong}))
    assert [fault.partition("=")[0] for fault in raised.value.faults] == ["node_count", "requirements"]
    with pytest.raises(ConfigError) as raised:
        plan(workspace, Asked(**{**asked, "config": {**wrong, "node_count": 1, "environment": {"python": "2.7"}}}))
    assert len(raised.value.faults) == 1


def test_a_registered_dataset_that_does_not_exist_is_not_found(workspace: Workspace, asked: dict[str, Any]):
    with pytest.raises((ConfigError, NotFoundError), match="dataset"):
        plan(workspace, Asked(**{**asked, "inputs": plain_inputs("dataset:nobody")}))
