"""A script of the documents that this project grew from, as a step of a DAG in a real Airflow, with not one character changed."""

import csv
import os
from pathlib import Path

import pytest

from tests.integration.test_seeds import SCORED, documents
from tests.system.live import LiveAirflow

__all__ = ["documents"]
pytestmark = pytest.mark.services

DAG = """
from airflow.sdk import DAG, Param
from airflow_batchinfer import FileDataset, ParallelRunConfig, ParallelRunOperator, RegisterModel

with DAG("digit_identification", schedule=None, params={{"batch_size_param": Param("5"), "process_count_param": Param(2)}}):
    model = RegisterModel(
        task_id="register_model", model_name="mnist", model_path={models!r}, tags={{"pretrained": "mnist"}}, workspace={workspace!r}
    )
    step = ParallelRunOperator(
        task_id="predict-digits-mnist",
        config=ParallelRunConfig(
            source_directory="seeds",
            entry_script="digit_identification.py",
            mini_batch_size="{{{{ params.batch_size_param }}}}",
            error_threshold=10,
            output_action="append_row",
            append_row_file_name="mnist_outputs.txt",
            process_count_per_node="{{{{ params.process_count_param }}}}",
            run_invocation_timeout=120,
            node_count=2,
        ),
        inputs=[FileDataset.from_files({inputs!r})],
        output_dir={output!r},
        workspace={workspace!r},
    )
    model >> step
"""


def test_the_batch_script_of_2020_runs_as_a_step_with_not_one_character_changed(
    airflow: LiveAirflow, trained: Path, documents: list[str], tmp_path: Path
):
    with (trained / "truth.csv").open(newline="") as file:
        truth = {row["file"]: int(row["digit"]) for row in csv.DictReader(file) if row["split"] == "held-out"}
    truth = dict(list(truth.items())[:SCORED])
    inputs = tmp_path / "digits"
    inputs.mkdir()
    for name in truth:
        os.link(trained / "digits" / name, inputs / name)
    script = airflow.standalone.dags_folder / "seeds" / "digit_identification.py"
    script.parent.mkdir()
    script.write_text(documents[1])
    places = {"models": str(trained / "trained" / "mnist"), "workspace": str(tmp_path / "workspace")}
    text = DAG.format(inputs=str(inputs), output=str(tmp_path / "output"), **places)
    assert airflow.add_dag("digit_identification_dag.py", text) == ["digit_identification"]
    airflow.score("digit_identification", seconds=240)
    read = dict(row.split(": ") for row in (tmp_path / "output" / "mnist_outputs.txt").read_text().splitlines())
    assert list(read) == sorted(truth)
    assert sum(int(read[name]) == digit for name, digit in truth.items()) >= 0.9 * SCORED
