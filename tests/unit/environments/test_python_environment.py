"""What a DAG says of a script's environment: a plain value, whose faults are all told at once."""

from pathlib import Path
from typing import Any

import pytest

from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.errors import ConfigError

TEMPLATE = "{{ params.x }}"


class Later:
    """The output of a task, as Airflow's XComArg is one."""

    def iter_references(self) -> tuple[()]:
        return ()


def faults(**given: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        PythonEnvironment(**given)  # type: ignore[arg-type]
    return raised.value.faults


@pytest.mark.parametrize(
    ("environment", "plain"),
    [
        (PythonEnvironment(requirements=["numpy==1.26.4", "pillow"]), {"requirements": ["numpy==1.26.4", "pillow"]}),
        (PythonEnvironment(requirements="requirements.txt", python="3.11"), {"requirements": "requirements.txt", "python": "3.11"}),
        (PythonEnvironment(requirements=Path("a/b.txt")), {"requirements": "a/b.txt"}),  # type: ignore[arg-type]
        (PythonEnvironment(python=">=3.10,<3.13"), {"python": ">=3.10,<3.13"}),
        (PythonEnvironment(), {}),
        (PythonEnvironment.from_conda_specification("myenv.yml"), {"conda_specification": "myenv.yml"}),
        (PythonEnvironment.from_interpreter("/opt/venv/bin/python"), {"interpreter": "/opt/venv/bin/python"}),
        (PythonEnvironment.from_interpreter(Path("/opt/bin/python")), {"interpreter": "/opt/bin/python"}),  # type: ignore[arg-type]
        (
            PythonEnvironment(requirements=[f"numpy=={TEMPLATE}"], python=TEMPLATE),
            {"requirements": [f"numpy=={TEMPLATE}"], "python": TEMPLATE},
        ),
    ],
    ids=str,
)
def test_it_becomes_plain_values_and_comes_back(environment: PythonEnvironment, plain: dict[str, Any]):
    assert environment.as_plain() == plain
    assert PythonEnvironment.from_plain(plain) == environment
    assert hash(environment) == hash(PythonEnvironment.from_plain(plain))


@pytest.mark.parametrize("version", ["3", "3.8", "3.11", "3.11.7", "3.13", ">=3.10", "~=3.11.2", "==3.11.*", ">3.9, <3.13"])
def test_a_version_of_python_is_text(version: str):
    assert PythonEnvironment(python=version).python == version


@pytest.mark.parametrize("version", [3.11, 3, "three", "3.11-dev", "python3.11", "", "=3.11", "3.11.7.1", "/usr/bin/python3"])
def test_what_is_no_version_is_refused(version: object):
    (fault,) = faults(python=version)
    assert fault.startswith(f"PythonEnvironment: python={version!r}: give a version as text, such as '3.11'")


@pytest.mark.parametrize("version", ["2.7", "2", "3.7", "3.6.2"])
def test_a_python_that_is_too_old_for_a_worker_is_refused(version: str):
    assert faults(python=version) == (f"PythonEnvironment: python={version!r}: a script can run in Python 3.8 or later",)


@pytest.mark.parametrize("requirements", [None, 5, "", {"numpy": "1"}, "a\0b"], ids=repr)
def test_what_is_neither_a_list_nor_a_file_is_refused(requirements: object):
    (fault,) = faults(requirements=requirements)
    assert "give a list of requirements, or the path of a requirements.txt" in fault


def test_every_fault_is_told_in_one_error():
    found = faults(requirements=["numpy", 5, "a\nb", "-e ."], python="2.7", interpreter="bin/python", conda_specification="")
    assert [fault.removeprefix("PythonEnvironment: ").partition(":")[0].partition("=")[0] for fault in found] == [
        "requirements",
        "requirements",
        "'-e .' is a folder of this machine only",
        "python",
        "conda_specification",
        "interpreter",
        "requirements and python and conda_specification and interpreter are given",
    ]


def test_an_interpreter_is_named_by_its_absolute_path():
    (fault,) = faults(interpreter="venv/bin/python")
    assert "give an absolute path, since each node looks for it" in fault


@pytest.mark.parametrize("value", [TEMPLATE, "{% if x %}1{% endif %}", Later()], ids=["jinja", "block", "task"])
@pytest.mark.parametrize("name", ["requirements", "python", "conda_specification", "interpreter"])
def test_a_template_is_not_looked_at_before_it_is_rendered(name: str, value: object):
    assert getattr(PythonEnvironment(**{name: value}), name) is value  # type: ignore[arg-type]


def test_a_template_among_requirements_is_looked_at_when_all_is_rendered():
    environment = PythonEnvironment(requirements=["-e {{ params.x }}", "numpy"], python=TEMPLATE)
    found = environment.faults(rendered=True)
    assert len(found) == 2
    assert "python='{{ params.x }}'" in found[1]


def test_a_plain_form_of_something_else_is_refused_with_what_there_is():
    with pytest.raises(ConfigError, match="some of requirements, python, conda_specification, interpreter"):
        PythonEnvironment.from_plain({"name": "azure", "docker": {}})
