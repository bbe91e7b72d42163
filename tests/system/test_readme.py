"""What the README tells a new user to type is typed here, block by block, in an empty folder; its DAG runs in a real Airflow."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.live import LiveAirflow

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


BLOCKS = blocks("sh")
RUN_BY_CI_ITSELF = {"make demo\n"}


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    folder = tmp_path_factory.mktemp("readme")
    script = "set -eu\n" + "\n".join(block for block in BLOCKS if block not in RUN_BY_CI_ITSELF)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "TMPDIR": str(tmp_path_factory.mktemp("tmp"))}
    environment.pop("BATCHINFER_WORKSPACE", None)
    return subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_every_block_of_the_readme_runs(typed: subprocess.CompletedProcess[str]) -> None:
    assert typed.returncode == 0, typed.stderr


def test_the_readme_shows_rows_in_the_order_of_the_inputs(typed: subprocess.CompletedProcess[str]) -> None:
    rows = [line for line in typed.stdout.splitlines() if line.startswith(tuple("123456789")) and ".jpg: " in line]
    assert rows == [f"{number}.jpg: 9" for number in range(1, 10)]


def test_make_demo_is_what_the_readme_begins_with() -> None:
    assert BLOCKS[0] in RUN_BY_CI_ITSELF


def test_the_dag_of_the_readme_scores_with_the_script_of_the_readme(airflow: LiveAirflow) -> None:
    (dag,) = blocks("python")
    (script,) = re.findall(r"^cat > score.py <<'PY'\n(.*?)^PY$", "".join(BLOCKS), re.MULTILINE | re.DOTALL)
    beside = airflow.standalone.dags_folder / "readme" / "entry_scripts"
    beside.mkdir(parents=True)
    (beside / "score.py").write_text(script)
    (beside.parent / ".airflowignore").write_text("entry_scripts/\n")
    workspace = airflow.standalone.home / "batchinfer"
    for folder, file in (("photos", "1.jpg"), ("photos", "2.jpg"), ("weights", "w.txt")):
        (workspace / folder).mkdir(parents=True, exist_ok=True)
        (workspace / folder / file).write_text("picture 1")

    (found,) = airflow.add_dag("readme/score_photos.py", dag)
    run = airflow.score(found)

    result = Path(airflow.rest.xcom(found, run, "score-photos.merge"))
    assert result.parent.parent.parent == workspace / "outputs" / "score_photos"
    assert result.read_text() == "1.jpg: 9\n2.jpg: 9\n"
