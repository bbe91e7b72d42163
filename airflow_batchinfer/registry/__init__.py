"""Models by name and version: immutable, numbered 1, 2, 3 without a gap, known by their content."""

from airflow_batchinfer.registry.models import Model, ModelRegistry

__all__ = ["Model", "ModelRegistry"]
