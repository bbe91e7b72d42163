"""A Python of the script's own: made by uv once for each content, bound by the job's lock, blind to Airflow's packages."""

import json
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_batchinfer.engine.node import NodeOptions, work
from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.environments.specification import specification_of
from airflow_batchinfer.errors import UnusableEnvironment, WorkersUnavailable
from tests.integration.lab import Lab, Program
from tests.integration.leftovers import is_alive, wait_until
from tests.integration.wheels import make_waiting_sdist, make_wheel, private_index

# As each node of a machine does it, and says what it does.
PROVIDES = """
import logging, sys
from airflow_batchinfer.environments.providing import provide
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.storage import open_store
logging.basicConfig(level=logging.INFO, format="%(message)s")
print(provide(open_store(sys.argv[1]), "environment.json", Specification.from_json(sys.argv[2])).executable)
"""
TELLS = """
import importlib, os, sys

def version_of(name):
    try:
        return getattr(importlib.import_module(name), "__version__", "there")
    except ModuleNotFoundError:
        return "absent"

def run(mini_batch):
    found = [version_of(name) for name in ("fsspec", "tiny", "airflow", "airflow_batchinfer", "pandas")]
    return [" ".join([*found, str(os.environ.get("PYTHONPATH"))])]
"""
TELLS_TINY = """
import os
from pathlib import Path
import tiny

def run(mini_batch):
    if Path(os.environ["STATE_DIR"], "broken").exists() and any(path.endswith("2") for path in mini_batch):
        raise ValueError("broken")
    return [tiny.__version__ for _ in mini_batch]
"""


@pytest.fixture
def wheels(lab: Lab) -> Path:
    make_wheel(lab.root / "wheels", "tiny", "1.0")
    return lab.root / "wheels"


def offline(wheels: Path, *requirements: str, python: str | None = None) -> PythonEnvironment:
    return PythonEnvironment(requirements=["--no-index", f"--find-links {wheels}", *requirements], python=python)


def made(lab: Lab) -> list[Path]:
    """The environments on this lab's machine, finished or not."""
    return [path for path in (lab.root / "cache" / "environments").glob("*/*") if path.is_dir()]


def whole(lab: Lab) -> list[Path]:
    """Those that nodes use."""
    return [path.parent / path.read_text() for path in (lab.root / "cache" / "environments").glob("*/ready")]


def locked(lab: Lab) -> list[str]:
    return json.loads((lab.jobs[-1] / "environment.json").read_text())["requirements"]


def node_error(lab: Lab, environment: PythonEnvironment, **variables: str) -> str:
    """What a node says that cannot have the environment."""
    lab.many(1)
    pin = lab.begin("names.py", environment=environment)
    ended = lab.start_node(pin, environment=variables).wait()
    assert ended.code == 1
    return ended.stderr


def test_a_script_has_another_version_of_a_package_than_airflow_and_nothing_else_of_airflow_s(lab: Lab, wheels: Path):
    make_wheel(wheels, "fsspec", "0.0.1", ["tiny>=1"])
    lab.many(1)
    (lab.root / "needs").mkdir()
    (lab.root / "needs" / "requirements.txt").write_text("--no-index\n--find-links ../wheels\n-r more.txt\n")
    (lab.root / "needs" / "more.txt").write_text("fsspec  # another one\n")
    lab.run(lab.script(TELLS), "--requirements", "needs/requirements.txt").summary  # noqa: B018 - it says whether it went well
    assert version("fsspec") != "0.0.1"
    assert lab.rows == ["0.0.1 1.0 absent absent absent None"]
    assert [line.partition(" --hash=sha256:")[0] for line in locked(lab)] == ["fsspec==0.0.1", "tiny==1.0"]
    assert all("--hash=sha256:" in line for line in locked(lab))


def test_workers_and_further_jobs_share_what_was_made_once(lab: Lab, wheels: Path):
    lab.many(4)
    options = (lab.script(TELLS_TINY), "--processes", 2, "--mini-batch-size", 1, "--requirements=--no-index")
    first = lab.run(*options, f"--requirements=-f {wheels}", "--requirements", "tiny")
    again = lab.run(*options, f"--requirements=-f {wheels}", "--requirements", "tiny", "--no-reuse")
    assert (first.code, again.code) == (0, 0)
    assert "Made the script's environment" in first.stderr
    assert "Made the script's environment" not in again.stderr
    assert "was made before" in again.stderr
    assert len(made(lab)) == 1


def test_where_packages_come_from_may_be_said_by_each_machine_to_uv_or_to_pip(lab: Lab, wheels: Path):
    lab.many(1)
    settings = {"UV_NO_INDEX": "1", "PIP_FIND_LINKS": f"{lab.root}/none {wheels}"}
    (lab.root / "none").mkdir()
    ended = lab.run(lab.script(TELLS_TINY), "--requirements", "tiny", environment=settings)
    assert ended.code == 0, ended.stderr
    assert lab.rows == ["1.0"]


def test_settings_of_a_project_around_the_command_or_the_cache_are_none_of_the_script_s(lab: Lab, wheels: Path):
    lab.many(1)
    (lab.root / "uv.toml").write_text("this would be an error, if uv read it")
    options = ("--requirements=--no-index", f"--requirements=-f {wheels}", "--requirements", "tiny")
    ended = lab.run(lab.script(TELLS_TINY), *options, environment={"UV_NO_CONFIG": "0"})
    assert ended.code == 0, ended.stderr


def test_the_environment_counts_for_whether_a_job_is_another_one(lab: Lab, wheels: Path):
    lab.many(1)
    make_wheel(wheels, "other", "1.0")
    jobs = [
        lab.begin("names.py", environment=environment).job
        for environment in (None, offline(wheels, "tiny"), offline(wheels, "tiny", "other"), offline(wheels, "tiny"), PythonEnvironment())
    ]
    assert jobs[1] == jobs[3]
    assert len(set(jobs)) == 4


def start_eight(lab: Lab, environment: PythonEnvironment) -> list[Program]:
    specification = specification_of(environment, lab.root).to_json()
    (lab.root / "job").mkdir()
    return [lab.start_program([sys.executable, "-c", PROVIDES, str(lab.root / "job"), specification]) for _ in range(8)]


def test_eight_nodes_of_a_machine_at_once_resolve_and_make_it_once(lab: Lab, wheels: Path):
    gate, begun = lab.root / "gate", lab.root / "begun"
    make_waiting_sdist(wheels, "slow", "1.0", gate, begun)
    nodes = start_eight(lab, offline(wheels, "slow", "tiny"))
    wait_until(begun.exists, "one of them makes it", 60)
    wait_until(lambda: sum("makes the script's environment; waiting" in node.stderr for node in nodes) == 7, "seven wait", 60)
    gate.touch()
    ended = [node.wait() for node in nodes]
    assert [each.code for each in ended] == [0] * 8, ended
    assert len({each.stdout for each in ended}) == 1
    assert sum("Made the script's environment" in each.stderr for each in ended) == 1
    assert sum("Resolving the script's environment" in each.stderr for each in ended) == 1
    assert made(lab) == whole(lab)
    assert len(made(lab)) == 1


def test_a_node_killed_while_it_makes_it_leaves_nothing_that_is_used_and_the_next_one_makes_it_again(lab: Lab, wheels: Path):
    gate, begun = lab.root / "gate", lab.root / "begun"
    make_waiting_sdist(wheels, "slow", "1.0", gate, begun)
    lab.many(1)
    options = (lab.script("import slow\ndef run(mini_batch):\n    return [slow.__version__]\n"), "--requirements=--no-index")
    options = (*options, f"--requirements=-f {wheels}", "--requirements", "slow")
    node = lab.start(*options)
    wait_until(begun.exists, "it makes it", 60)
    below = [pid for pid in node.tree() if pid != node.pid]
    node.send(signal.SIGKILL)
    node.wait()
    assert below
    wait_until(lambda: not is_alive(below[0]), "uv ends with the node", 10)
    assert (len(made(lab)), whole(lab)) == (1, [])
    gate.touch()
    ended = lab.run(*options)
    assert ended.code == 0, ended.stderr
    assert "Removing what is left" in ended.stderr
    assert lab.rows == ["1.0"]
    assert made(lab) == whole(lab)


def test_an_interrupt_while_it_is_made_ends_it_at_once_and_leaves_nothing(lab: Lab, wheels: Path):
    gate, begun = lab.root / "gate", lab.root / "begun"
    make_waiting_sdist(wheels, "slow", "1.0", gate, begun)
    lab.many(1)
    node = lab.start("names.py", "--requirements=--no-index", f"--requirements=-f {wheels}", "--requirements", "slow")
    wait_until(begun.exists, "it makes it", 60)
    node.send(signal.SIGINT)
    assert node.wait(10).code == 130
    assert made(lab) == []
    gate.touch()


def test_the_first_node_s_lock_binds_a_job_that_is_resumed_though_a_newer_version_has_appeared(lab: Lab, wheels: Path):
    lab.many(3)
    (lab.state / "broken").touch()
    how = ("--mini-batch-size", 1, "--processes", 1, "--max-try", 1, "--requirements=--no-index", f"--requirements=-f {wheels}")
    options = (lab.script(TELLS_TINY), *how, "--requirements", "tiny")
    assert lab.run(*options).code == 1
    make_wheel(wheels, "tiny", "2.0")
    (lab.state / "broken").unlink()
    assert lab.run(*options).summary["resumed"] == 2
    assert lab.rows == ["1.0"] * 3
    assert lab.run(*options, "--no-reuse").summary["resumed"] == 0
    assert lab.rows == ["2.0"] * 3


def test_an_environment_whose_python_is_gone_is_made_again(lab: Lab, wheels: Path):
    lab.many(1)
    options = (lab.script(TELLS_TINY), "--requirements=--no-index", f"--requirements=-f {wheels}", "--requirements", "tiny", "--no-reuse")
    assert lab.run(*options).code == 0
    python = whole(lab)[0] / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/longer/python")
    ended = lab.run(*options)
    assert ended.code == 0, ended.stderr
    assert "whose Python is gone" in ended.stderr
    assert made(lab) == whole(lab)


def test_requirements_that_do_not_fit_together_are_told_once_in_uv_s_words_and_not_tried_again(lab: Lab, wheels: Path):
    make_wheel(wheels, "needs_new", "1.0", ["tiny>=2"])
    said = node_error(lab, offline(wheels, "tiny", "needs_new"))
    assert said.startswith(f"{UnusableEnvironment.__name__}: the requirements of the script's environment cannot be resolved for Python 3")
    assert said.count("No solution found") == 1
    assert "tiny>=2" in said
    assert "Traceback" not in said
    pin = lab.begin("names.py", environment=offline(wheels, "tiny", "needs_new"))
    with pytest.raises(UnusableEnvironment):
        work(lab.workspace, pin, NodeOptions(environment_variables=lab.variables))
    assert not whole(lab)


def test_an_index_that_does_not_answer_may_work_later(lab: Lab):
    said = node_error(
        lab, PythonEnvironment(requirements=["--index-url http://127.0.0.1:9/simple", "tiny"]), UV_OFFLINE="0", UV_HTTP_RETRIES="0"
    )
    assert said.startswith(f"{WorkersUnavailable.__name__}: ")
    assert "may work later" in said


def test_a_locked_package_that_is_gone_from_its_index_is_told_with_the_remedy(lab: Lab, wheels: Path):
    lab.many(2)
    (lab.state / "broken").touch()
    options = (lab.script("import tiny\n1/0"), "--requirements=--no-index", f"--requirements=-f {wheels}", "--requirements", "tiny")
    assert lab.run(*options).code == 1
    (wheels / "tiny-1.0-py3-none-any.whl").unlink()
    elsewhere = {"BATCHINFER_CACHE": str(lab.root / "other machine"), "UV_CACHE_DIR": str(lab.root / "its uv")}
    ended = lab.run(*options, environment=elsewhere)
    assert ended.code == 1
    assert "the packages that this job is bound to cannot be installed (a new job, with --no-reuse or allow_reuse=False" in ended.stderr


def test_a_python_that_is_nowhere_is_told_with_the_remedy(lab: Lab):
    said = node_error(lab, PythonEnvironment(python="3.99"), UV_PYTHON_DOWNLOADS="never")
    assert said.startswith(
        f"{UnusableEnvironment.__name__}: the script's environment asks for Python 3.99, which is not on {os.uname().nodename}"
    )
    assert "install that Python on every machine" in said


def test_an_interpreter_that_a_node_does_not_have_is_told_there(lab: Lab):
    said = node_error(lab, PythonEnvironment.from_interpreter("/only/elsewhere/python"))
    assert said.startswith(f"{UnusableEnvironment.__name__}: the interpreter '/only/elsewhere/python' does not run on")


def test_the_password_of_an_index_is_never_stored_or_told(lab: Lab, wheels: Path):
    lab.many(1)
    with private_index(wheels, "shop", "hunter2-of-the-shop") as address:
        (lab.root / "requirements.txt").write_text(f"--index-url http://${{INDEX_USER}}:${{INDEX_PASSWORD}}@{address}/simple\ntiny\n")
        options = (lab.script(TELLS_TINY), "--requirements", "requirements.txt")
        variables = {"UV_OFFLINE": "0", "INDEX_USER": "shop"}
        wrong = lab.run(*options, environment={**variables, "INDEX_PASSWORD": "hunter2-is-wrong"})
        right = lab.run(*options, environment={**variables, "INDEX_PASSWORD": "hunter2-of-the-shop"})
    literal = lab.run("names.py", f"--requirements=-i http://shop:hunter2-of-the-shop@{address}/simple")
    assert (wrong.code, right.code, literal.code) == (1, 0, 2), (wrong.stderr, right.stderr)
    assert "401" in wrong.stderr
    assert "holds a secret" in literal.stderr
    assert lab.rows == ["1.0"]
    written = [path for top in (lab.workspace_url, str(lab.output)) for path in Path(top).rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if b"hunter2" in path.read_bytes()]
    assert "hunter2" not in wrong.stderr + right.stderr + literal.stderr


def test_a_table_needs_pandas_in_the_script_s_environment_and_says_so(lab: Lab):
    (lab.inputs / "table.csv").write_text("a,b\n1,2\n")
    ended = lab.run("names.py", "--table", "--max-try", 1, "--requirements=--no-index")
    assert ended.code == 1
    assert (
        "the interpreter of the script has no pandas, which a table needs: add pandas to the requirements of its environment"
        in ended.stderr
    )


def test_a_folder_that_cannot_be_written_is_named_with_the_setting(lab: Lab):
    (lab.root / "file").touch()
    said = node_error(lab, PythonEnvironment(), BATCHINFER_CACHE=str(lab.root / "file"))
    assert f"no environments can be kept in {lab.root}/file/environments" in said
    assert "$BATCHINFER_CACHE says where instead" in said


def test_a_file_whose_hash_is_not_the_one_that_was_asked_for_is_not_installed(lab: Lab, wheels: Path):
    said = node_error(lab, offline(wheels, f"tiny==1.0 --hash=sha256:{'0' * 64}"))
    assert "no file of tiny==1.0 has a hash that the requirements name" in said
    assert not list(made(lab))


def test_a_package_without_a_hash_is_refused_where_hashes_are_required(lab: Lab, wheels: Path):
    said = node_error(lab, offline(wheels, "--require-hashes", "tiny==1.0"))
    assert "--require-hashes is said, and there is no --hash for tiny==1.0" in said
    assert not list(made(lab))


def test_versions_before_a_release_are_taken_where_the_requirements_say_so(lab: Lab, wheels: Path):
    make_wheel(wheels, "tiny", "2.0b1")
    make_wheel(wheels, "needs_tiny", "1.0", ["tiny"])
    lab.many(1)
    lab.run("names.py", f"--requirements=-f {wheels}", "--requirements=--no-index", "--requirements=--pre", "--requirements", "needs_tiny")
    assert [line.partition(" ")[0] for line in locked(lab)] == ["needs-tiny==1.0", "tiny==2.0b1"]
