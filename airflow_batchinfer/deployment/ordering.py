"""From what a DAG or a person asks to an order that a target can carry out; one error lists every fault."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from airflow_batchinfer.deployment.spec import GivenKeys, Spec, digests_of, plain_config
from airflow_batchinfer.deployment.target import Order
from airflow_batchinfer.environments.specification import specification_of
from airflow_batchinfer.errors import ConfigError, Faults
from airflow_batchinfer.planning.source import Source, read_source
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.service.config import InferenceConfig, ServiceConfig, check_service_name
from airflow_batchinfer.storage import is_local, local_path
from airflow_batchinfer.workspace import Workspace


def order_of(  # noqa: PLR0913 - what a deployment is made of
    workspace: Workspace,
    name: str,
    inference: InferenceConfig,
    service: ServiceConfig,
    *,
    folder: Path,
    models: Sequence[str] = (),
    sample_input: object = None,
    rollback_on_failure: bool = True,
) -> Order:
    """Read the source, look the models up and the environment; relative paths count from `folder`."""
    faults = Faults()
    faults.attempt(lambda: check_service_name(name))
    source = faults.attempt(lambda: _source(workspace, inference, folder))
    registry = ModelRegistry(workspace)
    found = [faults.attempt(partial(registry.resolve, reference)) for reference in models]
    environment = faults.attempt(lambda: specification_of(inference.environment, folder))
    sample = faults.attempt(lambda: _sample(sample_input))
    faults.raise_any()
    keys = GivenKeys(service.primary_key, service.secondary_key)
    spec = Spec(
        entry_script=source.entry_script,
        source=source.digest,
        models=tuple((model.reference, model.digest) for model in found),
        environment=environment.to_json(),
        config=plain_config(service),
        keys=digests_of(keys),
        sample=sample,
    )
    return Order(name=name, spec=spec, source=source, workspace=workspace, keys=keys, rollback_on_failure=rollback_on_failure)


def _source(workspace: Workspace, inference: InferenceConfig, folder: Path) -> Source:
    ours = [local_path(workspace.url)] if is_local(workspace.url) else []
    if inference.source_directory is None:
        return read_source(str(folder / inference.entry_script), None, ours)
    return read_source(inference.entry_script, str(folder / inference.source_directory), ours)


def _sample(given: object) -> str | None:
    """Text is sent as it is, all else as JSON."""
    if given is None or isinstance(given, str):
        return given
    try:
        return json.dumps(given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"sample_input: {error}; give text, or what JSON can hold") from error
