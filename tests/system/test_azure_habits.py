"""The same scripts in a DAG: a step for each, in one DAG that runs once, and what comes of them."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.workspace import Workspace
from dags.demo.rest import ENDED
from tests.azure_habits import CAST, HABITS, LABELS, Habit, place_model
from tests.system.live import LiveAirflow
from tests.system.steps import patient

pytestmark = pytest.mark.services

DAG = "azure_habits"
RUN_SECONDS = 300
TEXT = """
from airflow.sdk import DAG
from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator, TabularDataset

with DAG({dag!r}, schedule=None, max_active_tasks=6, default_args={{"retries": 0}}):
    for name, config, inputs, operator in {steps!r}:
        given = TabularDataset.from_csv(inputs) if inputs.endswith(".csv") else inputs
        ParallelRunOperator(task_id=name, config=ParallelRunConfig(**config), inputs=given, **operator)
"""
# What a machine's GPUs are, only its own environment says.
IN_A_DAG = [habit for habit in HABITS if not habit.gpus]


@dataclass(frozen=True)
class Scored:
    """The run of all steps."""

    airflow: LiveAirflow
    run: str
    folder: Path

    def state(self, habit: Habit) -> Path:
        return self.folder / habit.name / "state"

    def given(self, habit: Habit, key: str = "return_value") -> Any:  # noqa: ANN401 - JSON
        return self.airflow.rest.xcom(DAG, self.run, f"{habit.name}.merge", key)

    def printed(self, job: str) -> str:
        logs = sorted((workspace(self.airflow) / "jobs" / job).glob("nodes/*/logs/*"))
        return "\n".join(path.read_text("utf-8", "replace") for path in logs)


def workspace(airflow: LiveAirflow) -> Path:
    return airflow.standalone.home / "batchinfer"


def step(habit: Habit, folder: Path) -> tuple[str, Mapping[str, Any], str, Mapping[str, Any]]:
    """What the DAG file says of a habit, once its items are placed."""
    place = folder / habit.name
    habit.place(place / "inputs")
    (place / "state").mkdir()
    variables = {"STATE_DIR": str(place / "state"), **habit.config.get("environment_variables", {})}
    script = f"{DAG}/{habit.path.relative_to(CAST / 'azure_habits') if habit.path.is_relative_to(CAST / 'azure_habits') else habit.script}"
    ours = {"entry_script": script, "error_threshold": 0, "mini_batch_size": 2, "process_count_per_node": 1}
    config = {**ours, **habit.config, "environment_variables": variables}
    if "source_directory" in habit.config:
        config |= {"source_directory": f"{DAG}/{Path(script).parent.name}", "entry_script": Path(script).name}
    operator = {"arguments": list(habit.arguments), "models": ["pond"] if habit.model else []}
    operator |= {"side_inputs": {"labels": str(folder / "labels.txt")}} if habit.labels else {}
    inputs = str(place / "inputs" / "tides.csv") if habit.of_table else str(place / "inputs")
    return habit.name, config, inputs, operator


@pytest.fixture(scope="module")
def scored(airflow: LiveAirflow, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    folder = tmp_path_factory.mktemp("habits")
    (folder / "labels.txt").write_text(LABELS)
    scripts = airflow.standalone.dags_folder / DAG
    shutil.copytree(CAST / "azure_habits", scripts)
    for path in {habit.path for habit in HABITS if habit.path.parent == CAST} | {CAST / "sibling.py"}:
        shutil.copy(path, scripts)
    ModelRegistry(Workspace.at(str(workspace(airflow)))).register("pond", str(place_model(folder / "pond")))
    steps = [step(habit, folder) for habit in IN_A_DAG]
    airflow.add_dag(f"{DAG}.py", TEXT.format(dag=DAG, steps=steps))
    with patient(airflow) as asked:
        run = asked.rest.trigger(DAG)
        asked.rest.wait_for(DAG, run, ENDED, RUN_SECONDS)
    return Scored(airflow, run, folder)


@pytest.mark.parametrize("habit", IN_A_DAG, ids=lambda habit: habit.name)
def test_a_script_of_azure_ml_s_gives_in_a_dag_what_it_gave_there(scored: Scored, habit: Habit):
    states = scored.airflow.rest.states(DAG, scored.run)
    if habit.fails:
        assert (states[f"{habit.name}.run[0]"], states[f"{habit.name}.merge"]) == ("success", "failed")
        assert habit.fails in scored.airflow.rest.log(DAG, scored.run, f"{habit.name}.merge")
    else:
        assert states[f"{habit.name}.merge"] == "success", scored.airflow.rest.failures(DAG, scored.run)
        summary, output = scored.given(habit, "summary"), Path(scored.given(habit))
        habit.check(output if output.is_dir() else output.parent, summary, scored.printed(summary["job"]), scored.state(habit))
