"""The howto for who comes from Azure ML, done: its script by the commands that it names, and in its DAG, in a real Airflow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_batchinfer import FileDataset
from airflow_batchinfer.registry import DatasetRegistry
from airflow_batchinfer.workspace import Workspace
from tests.system.live import LiveAirflow

pytestmark = pytest.mark.services

HOWTO = (Path(__file__).parents[2] / "docs" / "howto" / "migrate-from-azure-parallelrunstep.md").read_text()
SCRIPT, THERE, DAG, _ = re.findall(r"^```python\n(.*?)^```$", HOWTO, re.MULTILINE | re.DOTALL)
(CONSOLE,) = re.findall(r"^```console\n(.*?)^```$", HOWTO, re.MULTILINE | re.DOTALL)
GRADES = "1.jpg: C\n2.jpg: B\n3.jpg: A\n"


def orchard(folder: Path, photos: str) -> None:
    """Three photos, the names of the grades, and a model that doubles."""
    for name, text in {
        "weights/apples.txt": "2.0",
        "names.txt": "A B C",
        **{f"{photos}/{size}.jpg": "x" * size for size in (1, 2, 3)},
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_howto_s_commands_run_the_script_without_airflow(tmp_path: Path):
    orchard(tmp_path, "photos")
    (tmp_path / "grading").mkdir()
    (tmp_path / "grading" / "grade.py").write_text(SCRIPT)
    typed = "\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)$", CONSOLE, re.MULTILINE))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}
    environment.pop("BATCHINFER_WORKSPACE", None)
    done = subprocess.run(["bash", "-euc", typed], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "apples:1"
    assert done.stdout.splitlines()[1].startswith("3 items in 1 mini-batch, 3 rows, in ")
    assert (tmp_path / "graded" / "grades.txt").read_text() == GRADES


def test_the_howto_s_dag_runs_the_same_script(airflow: LiveAirflow):
    workspace = airflow.standalone.home / "batchinfer"
    orchard(workspace, "apple_photos")
    DatasetRegistry(Workspace.at(str(workspace))).register(
        "apple-photos", FileDataset.from_files(str(workspace / "apple_photos" / "*.jpg"))
    )
    airflow.rest.set_pool("gpu_pool", 2)
    grading = airflow.standalone.dags_folder / "apples" / "grading"
    grading.mkdir(parents=True)
    (grading / "grade.py").write_text(SCRIPT)
    (grading.parent / ".airflowignore").write_text("grading/\n")

    assert 'schedule="@daily"' in DAG
    (dag,) = airflow.add_dag("apples/apples.py", DAG.replace('schedule="@daily"', "schedule=None"))
    run = airflow.score(dag)

    result = Path(airflow.rest.xcom(dag, run, "grade-apples.merge"))
    assert (result.name, result.read_text()) == ("grades.txt", GRADES)
