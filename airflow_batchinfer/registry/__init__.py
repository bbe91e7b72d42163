"""Models and datasets by name and version: immutable, numbered 1, 2, 3 without a gap, known by their content."""

from airflow_batchinfer.registry.datasets import DatasetRegistry, RegisteredDataset, resolve_inputs, resolve_side_inputs
from airflow_batchinfer.registry.models import Model, ModelRegistry

__all__ = ["DatasetRegistry", "Model", "ModelRegistry", "RegisteredDataset", "resolve_inputs", "resolve_side_inputs"]
