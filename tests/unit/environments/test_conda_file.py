"""A conda environment.yml: which Python, what pip is to install, and what only a conda can."""

from pathlib import Path

import pytest

from airflow_batchinfer.environments.conda_file import CondaFile, read_conda_file
from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.environments.specification import Specification, specification_of
from airflow_batchinfer.errors import ConfigError


def read(folder: Path, text: str) -> CondaFile:
    (folder / "myenv.yml").write_text(text)
    return read_conda_file(folder / "myenv.yml")


def faults(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        read(folder, text)
    return raised.value.faults


def test_python_and_pip_s_packages_need_no_conda(tmp_path: Path):
    text = "name: x\nprefix: /y\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- pip=24\n- setuptools\n- pip:\n"
    text += "  - numpy==1.26.4\n  - -r a.txt\n"
    assert read(tmp_path, text) == CondaFile("3.11", (), ("conda-forge",), ("numpy==1.26.4", "-r a.txt"))
    (tmp_path / "a.txt").write_text("six\n")
    found = specification_of(PythonEnvironment.from_conda_specification("myenv.yml"), tmp_path)
    assert found == Specification(python="3.11", requirements=("numpy==1.26.4", "six"))


def test_other_packages_are_conda_s_with_their_channels(tmp_path: Path):
    text = "channels: [conda-forge, nodefaults]\ndependencies:\n- python>=3.10, <3.13\n- numpy   1.26.*\n"
    text += "- forge::gdal=3.8=h1_0\n- _openmp_mutex\n- pip:\n"
    found = read(tmp_path, text)
    assert found.packages == ("numpy 1.26.*", "forge::gdal=3.8=h1_0", "_openmp_mutex")
    specification = specification_of(PythonEnvironment.from_conda_specification("myenv.yml"), tmp_path)
    assert (specification.python, specification.conda_channels) == (">=3.10,<3.13", ("conda-forge", "nodefaults"))


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("python", None),
        ("python=3.11", "3.11"),
        ("python==3.11.4", "3.11.4"),
        ("python 3.11", "3.11"),
        ("python = 3.11.*", "3.11"),
        ("python=3.11.4=h1_0_cpython", "3.11.4"),
        ("conda-forge::python=3.12", "3.12"),
        ("python>=3.10", ">=3.10"),
        ("Python=3.11", "3.11"),
    ],
)
def test_conda_s_words_for_a_version_of_python(tmp_path: Path, said: str, version: str | None):
    assert read(tmp_path, f"dependencies: [{said!r}]").python == version


def test_every_fault_is_told_in_one_error(tmp_path: Path):
    text = "dependency: []\nvariables: {A: 1}\nchannels: [https://h/t/hunter2/x]\ndependencies:\n"
    text += "- 5\n- conda: [x]\n- pip: six\n- python=3.6.2\n- python=three\n"
    found = faults(tmp_path, text)
    assert all(fault.startswith(f"conda_specification: {tmp_path}/myenv.yml: ") for fault in found)
    assert "hunter2" not in str(found)
    words = [
        "dependency: no key",
        "environment_variables",
        "token",
        "5 is no package",
        "'conda'",
        "'pip': 'six'",
        "3.8 or later",
        "'python=three'",
        "say it once",
    ]
    assert [word in fault for word, fault in zip(words, found, strict=True)] == [True] * 9, found


@pytest.mark.parametrize("said", ["--file=/x", "-c"])
def test_an_option_of_conda_s_is_no_package(tmp_path: Path, said: str):
    assert "is no package" in faults(tmp_path, f"dependencies: [{said!r}]")[0]


def test_two_versions_of_python_are_refused_and_one_said_twice_is_taken(tmp_path: Path):
    assert "python is asked for as 3.11 and as >=3.12: say it once" in faults(tmp_path, "dependencies: [python=3.11, python>=3.12, six]")[0]
    assert read(tmp_path, "dependencies: [python=3.11, python, python 3.11]").python == "3.11"


@pytest.mark.parametrize("text", ["", "- a\n", "x", "a: [", "dependencies: {a: 1}", "channels: {a: 1}"])
def test_a_file_of_another_form_is_refused_with_its_name(tmp_path: Path, text: str):
    assert "myenv.yml" in faults(tmp_path, text)[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"there is no file .*/gone.yml"):
        read_conda_file(tmp_path / "gone.yml")
