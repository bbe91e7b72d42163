"""A specification is what a job's fingerprint covers of its script's environment."""

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.environments.specification import Specification, check_files, specification_of
from airflow_batchinfer.errors import ConfigError

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FULL = Specification("digest", "/bin/python", "3.11", ("six",), ("numpy<2",), ("--no-index",), ("gdal",), ("conda-forge",))


def test_it_comes_back_from_its_stored_form_and_each_part_counts():
    for specification in (FULL, Specification(), Specification(python="3.11", requirements=("a", "b"))):
        assert Specification.from_json(specification.to_json()) == specification
    texts = {replace(FULL, **{field.name: () if field.name == "requirements" else "x"}).to_json() for field in fields(FULL)}
    assert len(texts | {FULL.to_json()}) == len(fields(FULL)) + 1


def test_without_an_environment_it_is_a_digest_of_what_airflow_s_own_has():
    own = specification_of(None, Path())
    assert (own.is_made, own.interpreter, len(own.installed)) == (False, None, 64)
    assert own == specification_of(None, Path())


def test_another_package_in_airflow_s_own_is_another_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = specification_of(None, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert specification_of(None, tmp_path) == before
    (tmp_path / "new_package-1.0.dist-info").mkdir()
    assert specification_of(None, tmp_path) != before


def test_files_count_by_what_they_ask_for(tmp_path: Path):
    (tmp_path / "requirements.txt").write_text("numpy  # a comment\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("six\n")
    of_file = specification_of(PythonEnvironment(requirements="requirements.txt"), tmp_path)
    assert of_file == Specification(python=OWN_PYTHON, requirements=("numpy", "six"))
    assert of_file == specification_of(PythonEnvironment(requirements=["numpy", "six"], python=OWN_PYTHON), tmp_path / "elsewhere")
    (tmp_path / "more.txt").write_text("six==1\n")
    assert specification_of(PythonEnvironment(requirements="requirements.txt"), tmp_path) != of_file


def test_what_looks_like_a_template_when_all_is_rendered_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"python='\{\{ params.x \}\}'"):
        specification_of(PythonEnvironment(python="{{ params.x }}"), tmp_path)


def test_a_missing_file_is_told_when_a_dag_is_read_but_not_what_is_a_template(tmp_path: Path):
    check_files(PythonEnvironment(requirements=["numpy", "-r {{ params.x }}"]), tmp_path)
    check_files(PythonEnvironment(requirements="{{ params.x }}.txt"), tmp_path)
    check_files(PythonEnvironment(conda_specification="{{ params.x }}.yml"), tmp_path)
    for gone in (PythonEnvironment(requirements="gone.txt"), PythonEnvironment(conda_specification="gone.txt")):
        with pytest.raises(ConfigError, match=r"there is no file .*/gone.txt"):
            check_files(gone, tmp_path)
