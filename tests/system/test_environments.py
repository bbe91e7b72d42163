"""Scripts with a Python of their own: in a real Airflow, and with real packages, those that the machine's index has."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_batchinfer import PythonEnvironment
from tests.integration.lab import PROJECT, Lab, open_lab
from tests.integration.wheels import make_wheel
from tests.system.live import LiveAirflow
from tests.system.steps import Step, StepRun, add_steps, patient

pytestmark = pytest.mark.services

TELLS = """
import fsspec
from importlib.util import find_spec

def run(mini_batch):
    return [f"{fsspec.__version__} {find_spec('airflow')} {find_spec('airflow_batchinfer')}" for _ in mini_batch]
"""
TELLS_TENSORFLOW = """
def init():
    import tensorflow

def run(mini_batch):
    import numpy
    import tensorflow as tf
    return [f"{tf.__version__} {numpy.__version__} {int(tf.reduce_sum(tf.constant([1, 2, 3])))}" for _ in mini_batch]
"""
OF_ITS_OWN = PythonEnvironment(requirements="own/requirements.txt", python="{{ params.python }}")
TOO_NEW = PythonEnvironment(requirements=["-r own/requirements.txt", "fsspec=={{ params.fsspec }}"])
STEPS = [
    Step(
        "has_its_own",
        "own.py",
        code=TELLS,
        config={"environment": OF_ITS_OWN, "node_count": 3, "mini_batch_size": 1},
        params={"python": None},
    ),
    Step("has_none", "own.py", code=TELLS, config={"environment": TOO_NEW}, operator={"retries": 2}, params={"fsspec": "9"}),
]


@pytest.fixture(scope="module")
def runs(airflow: LiveAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StepRun]]:
    folder = airflow.standalone.dags_folder / "own"
    make_wheel(folder / "wheels", "fsspec", "0.0.1")
    (folder / "requirements.txt").write_text("--no-index\n--find-links wheels\nfsspec\n")
    with patient(airflow) as live:
        found = add_steps(live, tmp_path_factory.mktemp("environments"), "environments.py", STEPS)
        yield {name: step.trigger() for name, step in found.items()}


def test_a_step_s_script_has_another_version_of_a_package_than_airflow_and_does_not_see_airflow(runs: dict[str, StepRun]):
    run = runs["has_its_own"].wait()
    assert version("fsspec") != "0.0.1"
    assert run.result == b"0.0.1 None None\n" * 8
    logs = [run.log("run", node) for node in range(3)]
    assert sum("Resolving the script's environment" in log for log in logs) == 1
    assert sum("Made the script's environment" in log for log in logs) == 1


def test_requirements_that_do_not_fit_together_are_tried_once_and_node_and_merge_tell_it_in_uv_s_words(runs: dict[str, StepRun]):
    run = runs["has_none"].wait("failed")
    assert run.tries == {"plan": 1, "run[0]": 1, "merge": 1}
    for log in (run.log("run", 0), run.log("merge")):
        assert "there is no version of fsspec==9" in log
    assert "clear this step from its plan on" in run.log("run", 0)


@pytest.fixture
def without_tensorflow(tmp_path: Path) -> Path:
    """The command of an Airflow that has no TensorFlow: the project's own packages, without extras."""
    uv = [str(Path(sys.executable).with_name("uv")), "sync", "--quiet", "--frozen", "--no-python-downloads", "--no-default-groups"]
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "airflow")}
    subprocess.run([*uv, "--python", sys.executable], cwd=PROJECT, env=environment, check=True, timeout=300)
    assert not list((tmp_path / "airflow").glob("lib/python3*/site-packages/tensorflow"))
    return tmp_path / "airflow" / "bin" / "batchinfer"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    (tmp_path / "lab").mkdir()
    with open_lab(tmp_path / "lab") as lab:
        yield lab


def test_a_script_that_needs_tensorflow_and_another_numpy_runs_where_airflow_has_neither(lab: Lab, without_tensorflow: Path):
    lab.many(2)
    options = ["--input", lab.inputs, "--output", lab.output, "--workspace", lab.workspace_url, "--processes", 1, "--timeout", 300]
    needs = ["--requirements", f"tensorflow=={version('tensorflow')}", "--requirements", "numpy<2.3"]
    # The index, and what lies in uv's cache, are the machine's own.
    theirs = {"UV_OFFLINE": "0", "UV_NO_CONFIG": "0", "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or os.path.expanduser("~/.cache/uv")}
    command = [without_tensorflow, "run", lab.script(TELLS_TENSORFLOW), *options, *needs]
    ended = lab.start_program(list(map(str, command)), environment={**theirs, "PYTHONPATH": ""}).wait(300)
    assert ended.code == 0, ended.stderr
    tensorflow, numpy, three = lab.rows[0].split()
    assert (tensorflow, three) == (version("tensorflow"), "6")
    assert tuple(map(int, numpy.split(".")[:2])) < (2, 3) <= tuple(map(int, version("numpy").split(".")[:2]))
