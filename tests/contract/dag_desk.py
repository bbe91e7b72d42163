"""A desk for tests of DAGs: DAGs are made here as a file in a folder of the test's own would make them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator, RegisterModel
from airflow_batchinfer.errors import ConfigError

SCRIPT = "def run(mini_batch):\n    return mini_batch\n"
# DESIGN.md's, without what comes later.
DESIGN = """
from airflow.sdk import DAG, Param

from airflow_batchinfer import ComputeTarget, FileDataset, ParallelRunConfig, ParallelRunOperator, RegisterModel

with DAG("mnist_batch_scoring", schedule="@daily", catchup=False, params={
    "input": Param("digits/*.png"), "mini_batch_size": Param("5"), "node_count": Param(2, minimum=1), "process_count": Param(2, minimum=1),
}):
    model = RegisterModel(task_id="register_model", model_name="mnist", model_path="models/mnist", tags={"pretrained": "mnist"})
    score = ParallelRunOperator(
        task_id="predict-digits-mnist",
        config=ParallelRunConfig(
            source_directory="entry_scripts", entry_script="digit_identification.py",
            mini_batch_size="{{ params.mini_batch_size }}", error_threshold=10,
            output_action="append_row", append_row_file_name="mnist_outputs.txt",
            node_count="{{ params.node_count }}", process_count_per_node="{{ params.process_count }}",
            environment_variables={"TOKEN": "never to be stored", "KEY": "{{ var.value.key }}"},
            compute_target=ComputeTarget(pool="gpu_pool", queue="gpu")),
        inputs=[FileDataset.from_files("{{ params.input }}")],
        models=[model.output], side_inputs={"labels": "labels/"}, arguments=["--labels", "{labels}"])
    model >> score
"""


class Desk:
    """A DAG file's folder, where DAGs are made as a file there would make them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "entry_scripts").mkdir()
        for path in ("score.py", "entry_scripts/digit_identification.py"):
            (folder / path).write_text(SCRIPT)

    def write(self, text: str) -> Path:
        """A DAG file."""
        file = self.folder / "dag.py"
        file.write_text(text)
        return file

    @contextmanager
    def dag(self, **arguments: object) -> Iterator[DAG]:
        with self.made(**arguments) as dag:
            yield dag

    def made(self, **arguments: object) -> DAG:
        dag = DAG("dag", schedule=None, **arguments)  # type: ignore[arg-type]
        dag.fileloc = str(self.folder / "dag.py")
        return dag

    def config(self, **given: object) -> ParallelRunConfig:
        return ParallelRunConfig(**{"entry_script": "score.py", "error_threshold": 10, **given})  # type: ignore[arg-type]

    def step(self, task_id: str = "score", **given: object) -> ParallelRunOperator:
        config = given.pop("config", None) or self.config()
        return ParallelRunOperator(**{"task_id": task_id, "config": config, "inputs": "in", **given})  # type: ignore[arg-type]

    def faults(self, **given: object) -> tuple[str, ...]:
        with pytest.raises(ConfigError) as raised, self.dag():
            self.step(**given)
        return raised.value.faults


def register(task_id: str = "register") -> RegisterModel:
    return RegisterModel(task_id=task_id, model_name="m", model_path="p")


def three(dag: DAG, step: str = "score") -> list[Any]:
    return [dag.get_task(f"{step}.{name}") for name in ("plan", "run", "merge")]
