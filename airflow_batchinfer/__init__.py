"""Scheduled batch scoring on Apache Airflow, and the same engine without it.

Importing this package loads nothing but itself (PEP 562): a DAG file is parsed every few seconds, so each public name is
imported the first time it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_batchinfer.datasets import FileDataset, TabularDataset
    from airflow_batchinfer.deployment.targets import LocalTarget
    from airflow_batchinfer.environments.python_environment import PythonEnvironment
    from airflow_batchinfer.operators.parallel_run import ParallelRunOperator
    from airflow_batchinfer.operators.register_model import RegisterModel
    from airflow_batchinfer.operators.scoring_service import DeleteScoringService, DeployScoringService, RegenerateKey
    from airflow_batchinfer.operators.service_sensor import ScoringServiceSensor
    from airflow_batchinfer.planning.compute_target import ComputeTarget
    from airflow_batchinfer.planning.config import ParallelRunConfig
    from airflow_batchinfer.service.config import InferenceConfig, ServiceConfig
    from airflow_batchinfer.workspace import Workspace

__version__ = "0.1.0"
__all__ = [
    "ComputeTarget",
    "DeleteScoringService",
    "DeployScoringService",
    "FileDataset",
    "InferenceConfig",
    "LocalTarget",
    "ParallelRunConfig",
    "ParallelRunOperator",
    "PythonEnvironment",
    "RegenerateKey",
    "RegisterModel",
    "ScoringServiceSensor",
    "ServiceConfig",
    "TabularDataset",
    "Workspace",
]

_HOMES = {
    "ComputeTarget": "airflow_batchinfer.planning.compute_target",
    "DeleteScoringService": "airflow_batchinfer.operators.scoring_service",
    "DeployScoringService": "airflow_batchinfer.operators.scoring_service",
    "FileDataset": "airflow_batchinfer.datasets",
    "InferenceConfig": "airflow_batchinfer.service.config",
    "LocalTarget": "airflow_batchinfer.deployment.targets",
    "ParallelRunConfig": "airflow_batchinfer.planning.config",
    "ParallelRunOperator": "airflow_batchinfer.operators.parallel_run",
    "PythonEnvironment": "airflow_batchinfer.environments.python_environment",
    "RegenerateKey": "airflow_batchinfer.operators.scoring_service",
    "RegisterModel": "airflow_batchinfer.operators.register_model",
    "ScoringServiceSensor": "airflow_batchinfer.operators.service_sensor",
    "ServiceConfig": "airflow_batchinfer.service.config",
    "TabularDataset": "airflow_batchinfer.datasets",
    "Workspace": "airflow_batchinfer.workspace",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
