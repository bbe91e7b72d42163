"""What a conda environment.yml says: Python and pip's packages by uv alone, others by a conda, which here is a stand-in."""

import json
import sys
from pathlib import Path

import pytest

from tests.integration.lab import Lab
from tests.integration.wheels import make_wheel

STAND_IN = Path(__file__).with_name("stand_in_conda.py")
TELLS = """
import os, sys, tiny
try:
    from gdal import __version__ as gdal
except ModuleNotFoundError:
    gdal = "absent"

def run(mini_batch):
    if os.path.exists(os.path.join(os.environ["STATE_DIR"], "broken")) and mini_batch[0].endswith("1"):
        raise ValueError("broken")
    return [f"{gdal} {tiny.__version__}" for _ in mini_batch]
"""


@pytest.fixture
def environment_file(lab: Lab) -> Path:
    for version in ("1.0", "2.0"):
        make_wheel(lab.root / "wheels", "tiny", version)
    make_wheel(lab.root / "wheels", "other", "1.0", ["tiny"])
    (lab.root / "needs").mkdir()
    (lab.root / "needs" / "requirements.txt").write_text("--find-links ../wheels\nother\n")
    return lab.root / "needs" / "myenv.yml"


def write(path: Path, *packages: str) -> Path:
    listed = "".join(f"  - {package}\n" for package in packages)
    pip = "  - pip\n  - pip:\n    - --no-index\n    - -r requirements.txt\n"
    path.write_text(f"name: x\nchannels:\n  - forge\n  - nodefaults\ndependencies:\n{listed}{pip}")
    return path


def conda(lab: Lab, gdal: str = "3.8") -> dict[str, str]:
    """Variables of a machine that has one."""
    program = lab.root / "programs of conda" / "micromamba"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin", "STATE_DIR": str(lab.state), "GDAL": gdal}


def test_python_and_what_stands_below_pip_need_no_conda(lab: Lab, environment_file: Path):
    lab.many(1)
    write(environment_file, f"python={sys.version_info.major}.{sys.version_info.minor}")
    ended = lab.run(lab.script(TELLS), "--conda-specification", environment_file, environment={"PATH": "/usr/bin:/bin"})
    assert ended.code == 0, ended.stderr
    assert lab.rows == ["absent 2.0"]


def test_packages_of_conda_s_without_a_conda_are_an_error_that_names_them_and_the_remedy(lab: Lab, environment_file: Path):
    lab.many(1)
    write(environment_file, "gdal=3.8", "proj")
    ended = lab.run(lab.script(TELLS), "--conda-specification", environment_file, environment={"PATH": "/usr/bin:/bin"})
    assert ended.code == 1
    assert "asks conda, and not pip, for gdal=3.8, proj. That needs one of micromamba, mamba, conda on the PATH" in ended.stderr


def test_with_a_conda_its_packages_come_from_it_and_pip_s_on_top_of_them_as_they_are_locked(lab: Lab, environment_file: Path):
    lab.many(2)
    (lab.state / "broken").touch()
    options = (lab.script(TELLS), "--mini-batch-size", 1, "--processes", 1, "--max-try", 1, "--conda-specification")
    options = (*options, write(environment_file, "python=3.11", "gdal>=3"))
    assert lab.run(*options, environment=conda(lab)).code == 1
    (lab.state / "broken").unlink()
    elsewhere = {**conda(lab, gdal="3.9"), "BATCHINFER_CACHE": str(lab.root / "other machine")}
    ended = lab.run(*options, environment=elsewhere)
    assert ended.code == 0, ended.stderr
    assert lab.rows == ["3.8 1.0"] * 2
    of_names = "create --yes --quiet --prefix --channel forge --override-channels python=3.11 gdal>=3"
    of_file = "create --yes --quiet --prefix --file"
    assert (lab.state / "conda").read_text().splitlines() == [of_names, of_file, of_file]
    lock = (lab.jobs[0] / "environment.json").read_text()
    assert "hunter2" not in lock
    assert json.loads(lock)["conda_packages"] == [
        f"https://conda.example/forge/noarch/{name}-0.conda#md5of{name.partition('-')[0]}" for name in ("gdal-3.8", "tiny-1.0")
    ]


def test_what_conda_says_of_packages_that_it_cannot_have_is_told(lab: Lab, environment_file: Path):
    lab.many(1)
    ended = lab.run(lab.script(TELLS), "--conda-specification", write(environment_file, "unheard-of"), environment=conda(lab))
    assert ended.code == 1
    assert ended.stderr.count("nothing provides unheard-of") == 1
    assert "Traceback" not in ended.stderr
