"""A workspace on local disk and one in memory."""

from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.storage import LocalStore, RemoteStore
from airflow_batchinfer.workspace import Workspace


@pytest.fixture(params=["local", "memory"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    if request.param == "local":
        return Workspace(LocalStore(tmp_path / "workspace"))
    return Workspace(RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}"))


@pytest.fixture
def registry(workspace: Workspace) -> ModelRegistry:
    return ModelRegistry(workspace)
