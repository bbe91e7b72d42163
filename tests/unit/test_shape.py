"""Locks on the package's public face."""

import importlib
from importlib.metadata import version

import pytest

import airflow_batchinfer
from airflow_batchinfer.datasets import FileDataset
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.workspace import Workspace


def test_these_names_are_exported_and_no_others():
    names = ["ComputeTarget", "DeleteScoringService", "DeployScoringService", "FileDataset", "InferenceConfig", "LocalTarget"]
    names += ["ParallelRunConfig", "ParallelRunOperator", "PythonEnvironment", "RegenerateKey", "RegisterModel", "ScoringServiceSensor"]
    names += ["ServiceConfig", "TabularDataset", "Workspace"]
    assert sorted(airflow_batchinfer.__all__) == names


def test_each_name_is_the_thing_itself():
    assert airflow_batchinfer.FileDataset is FileDataset
    assert airflow_batchinfer.ParallelRunConfig is ParallelRunConfig
    assert airflow_batchinfer.Workspace is Workspace


def test_every_exported_name_is_listed_by_dir():
    assert set(airflow_batchinfer.__all__) <= set(dir(airflow_batchinfer))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'airflow_batchinfer' has no attribute 'Nothing'"):
        airflow_batchinfer.Nothing  # type: ignore[attr-defined]  # noqa: B018 - asking is the test


def test_the_version_is_that_of_the_distribution():
    assert airflow_batchinfer.__version__ == version("airflow-batchinfer")


@pytest.mark.parametrize("package", ["datasets", "registry", "storage"])
def test_what_a_package_exports_is_there(package: str):
    module = importlib.import_module(f"airflow_batchinfer.{package}")
    assert all(hasattr(module, name) for name in module.__all__)
