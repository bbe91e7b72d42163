"""Interpreters that are there, looked at by running them."""

import os
import sys
from pathlib import Path

import pytest

from airflow_batchinfer.environments.interpreter import describe, installed_at, require_usable
from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.environments.specification import Specification, specification_of
from airflow_batchinfer.errors import UnusableEnvironment


def test_an_interpreter_is_described_by_itself():
    found = describe(sys.executable)
    assert found.version == sys.version_info[:3]
    assert installed_at(sys.executable) == found.installed


def test_an_interpreter_that_does_not_run_is_named(tmp_path: Path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    broken.chmod(0o755)
    for path, why in (("/no/such/python", "No such file"), ("/bin/true", "it is no Python"), (str(broken), "it is broken")):
        with pytest.raises(UnusableEnvironment, match=rf"the interpreter '{path}' does not run on {os.uname().nodename}: .*{why}"):
            require_usable(path)
        assert installed_at(path) is None


def test_an_interpreter_that_is_too_old_for_a_worker_is_told_so(tmp_path: Path):
    old = tmp_path / "python"
    old.write_text("""#!/bin/sh\necho '{"version": [3, 7, 9], "here": [], "found": []}'\n""")
    old.chmod(0o755)
    with pytest.raises(UnusableEnvironment, match=r"is Python 3\.7\.9, and a script can run in Python 3\.8 or later"):
        require_usable(str(old))


def test_an_interpreter_that_this_machine_has_counts_by_what_is_installed_and_any_other_by_its_path(tmp_path: Path):
    here = specification_of(PythonEnvironment.from_interpreter(sys.executable), tmp_path)
    assert (here.interpreter, len(here.installed), here.is_made) == (sys.executable, 64, False)
    assert specification_of(PythonEnvironment.from_interpreter("/only/on/nodes"), tmp_path) == Specification(interpreter="/only/on/nodes")
