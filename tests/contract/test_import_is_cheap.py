"""What loading the package loads, asked of a fresh interpreter: the one thing that this one cannot tell."""

import subprocess
import sys

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


@pytest.mark.parametrize("name", ["ParallelRunConfig", "FileDataset", "Workspace"])
def test_no_public_name_loads_airflow_or_a_library_for_tables(name: str):
    loaded = loaded_by(f"from airflow_batchinfer import {name}")
    assert not loaded & {"airflow", "pandas", "pyarrow", "numpy", "tensorflow"}


def test_the_command_line_loads_airflow_and_tables_no_more_than_a_script_does():
    assert not loaded_by("import airflow_batchinfer.cli.parser") & set(HEAVY[:5])


def test_a_worker_s_modules_load_nothing_of_ours():
    folder = "import airflow_batchinfer.worker as w; sys.path.insert(0, w.__path__[0])"
    assert loaded_by("import json, struct, typing") <= loaded_by(f"{folder}; import framing")
    assert not loaded_by(f"{folder}; import framing, rows, script") & set(HEAVY)
