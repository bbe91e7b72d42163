"""What the README tells a new user to type is typed here, block by block, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
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
