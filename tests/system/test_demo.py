"""What `make demo` and `make up` prepare, each in a process of its own, with the demo's folder as the place of its modules.

The whole takes a minute and is run by hand; how it shows a run is tested beside the lessons.
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import copytree, rmtree

import pytest

from tests.integration.lab import Lab, Program, open_lab
from tests.trained import DEMO, MAKE

pytestmark = pytest.mark.services

PORT = "import runpy, sys; print(runpy.run_path(sys.argv[1])['port_of_the_page']())"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with open_lab(tmp_path) as lab:
        yield lab


def start(lab: Lab, program: str, *arguments: object) -> Program:
    return lab.start_program([sys.executable, "-c", program, *map(str, arguments)], environment={"PYTHONPATH": str(DEMO)})


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file, how long it is and when it was written, but not what is kept to be read only."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "training.log"]
    return {str(file.relative_to(folder)): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def test_what_the_lessons_find_is_made_once_and_what_was_left_half_made_is_made_again(lab: Lab, trained: Path):
    workspace = lab.root / "made"
    copytree(trained, workspace, copy_function=os.link)
    for half_made in ("some_broken", "labels"):
        rmtree(workspace / half_made)
        (workspace / f"{half_made}.unfinished").mkdir()
        (workspace / f"{half_made}.unfinished" / "begun.png").touch()
    made = start(lab, MAKE, workspace).wait()
    assert made.code == 0, made.stderr
    before, after = contents(trained), contents(workspace)
    assert after.keys() == before.keys()
    assert {name.split("/")[0] for name in before if before[name] != after[name]} == {"some_broken", "labels"}


def test_where_the_usual_port_is_taken_any_other_serves_the_page(lab: Lab):
    with socket.socket() as other:
        with suppress(OSError):  # then somebody else has taken it
            other.bind(("127.0.0.1", 8080))
            other.listen()
        chosen = start(lab, PORT, DEMO / "__main__.py").wait()
    assert chosen.stdout.split("\n") == ["", "Port 8080 is taken, so another one is used", "0", ""], chosen.stderr
