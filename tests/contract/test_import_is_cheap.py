"""What loading the package loads, asked of a fresh interpreter: the one thing that this one cannot tell."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("airflow", "pandas", "pyarrow", "numpy", "tensorflow", "fsspec", "s3fs", "rich")
PROGRAM = "import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"


def loaded_by(statement: str) -> set[str]:
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(statement=statement)], capture_output=True, text=True, check=True, timeout=60
    )
    return set(said.stdout.split())


def test_importing_the_package_loads_nothing_but_itself():
    more = loaded_by("import airflow_batchinfer") - loaded_by("import importlib, typing")
    assert more == {"airflow_batchinfer"}


@pytest.mark.parametrize("name", ["ComputeTarget", "ParallelRunConfig", "PythonEnvironment", "FileDataset", "Workspace"])
def test_no_public_name_loads_airflow_or_a_library_for_tables(name: str):
    loaded = loaded_by(f"from airflow_batchinfer import {name}")
    assert not loaded & {"airflow", "pandas", "pyarrow", "numpy", "tensorflow"}


def test_the_command_line_loads_airflow_and_tables_no_more_than_a_script_does():
    assert not loaded_by("import airflow_batchinfer.cli.parser") & set(HEAVY[:5])
    assert "rich" not in loaded_by("import airflow_batchinfer.cli.run")


def test_a_worker_s_modules_load_nothing_of_ours():
    folder = "import airflow_batchinfer.worker as w; sys.path.insert(0, w.__path__[0])"
    assert loaded_by("import json, struct, typing") <= loaded_by(f"{folder}; import framing")
    assert not loaded_by(f"{folder}; import framing, rows, script") & set(HEAVY)


# Airflow itself loads fsspec, for its connections to storage.
NEVER_IN_A_DAG_FILE = {"pandas", "pyarrow", "numpy", "tensorflow", "s3fs", "adlfs", "gcsfs", "rich", "yaml"}
DAG_FILE = """
from airflow.sdk import DAG
from airflow_batchinfer import ComputeTarget, FileDataset, ParallelRunConfig, ParallelRunOperator, PythonEnvironment, RegisterModel

with DAG("dag", schedule=None, params=ParallelRunConfig.params(input="in", node_count=2)) as dag:
    model = RegisterModel(task_id="register", model_name="m", model_path="p")
    score = ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(
            entry_script="dag.py",
            error_threshold=1,
            compute_target=ComputeTarget(pool="p"),
            environment=PythonEnvironment(requirements=["six"]),
        ),
        inputs=[FileDataset.from_files("{{ params.input }}")],
        models=[model.output],
        side_inputs={"labels": "labels"},
    )
"""


def test_reading_a_dag_with_our_operators_loads_no_library_for_tables_or_models_and_nothing_but_ours(tmp_path: Path):
    (tmp_path / "dag.py").write_text(DAG_FILE)
    airflow_alone = loaded_by("from airflow.sdk import DAG, Asset, BaseOperator, Param, TaskGroup")
    reading = loaded_by(f"import runpy; runpy.run_path({str(tmp_path / 'dag.py')!r})")
    assert {"airflow", "airflow_batchinfer"} <= reading
    assert not (reading - airflow_alone) & NEVER_IN_A_DAG_FILE
    assert not reading & {"pandas", "pyarrow", "tensorflow"}


def test_what_every_airflow_process_asks_of_us_loads_nothing():
    asked = "from airflow_batchinfer.provider import get_provider_info; get_provider_info(); import airflow_batchinfer.provider.command"
    assert not loaded_by(asked) & set(HEAVY)
