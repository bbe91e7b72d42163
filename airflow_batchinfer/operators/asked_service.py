"""What a DAG asks of a service, as plain values that Airflow can render, and back. Keys are in no template field: Airflow stores those."""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from airflow_batchinfer.deployment.spec import KEYS, plain_config
from airflow_batchinfer.deployment.targets import LocalTarget
from airflow_batchinfer.environments.python_environment import is_template
from airflow_batchinfer.errors import ConfigError, Faults
from airflow_batchinfer.operators.asked import Plain, Unstored, check_workspace, environment_of, is_given
from airflow_batchinfer.service.config import InferenceConfig, ServiceConfig, check_service_name


def check_service(name: object, workspace: object, workspace_conn_id: object) -> None:
    """Raise unless a service may have this name in one workspace, as far as that can be known before a run."""
    faults = Faults()
    if not is_template(name):
        faults.attempt(lambda: check_service_name(str(name)))
    faults.attempt(lambda: check_workspace(workspace, workspace_conn_id))
    faults.raise_any()


def plain_inference(config: object) -> Plain:
    """An InferenceConfig."""
    if not isinstance(config, InferenceConfig):
        raise ConfigError(f"inference_config={config!r}: give an InferenceConfig(...)")
    environment = config.environment.as_plain() if config.environment else None
    return {"entry_script": config.entry_script, "source_directory": config.source_directory, "environment": environment}


def inference_of(rendered: Plain) -> InferenceConfig:
    """An InferenceConfig. A template that gave nothing means the default."""
    directory = rendered["source_directory"]
    return InferenceConfig(
        entry_script=rendered["entry_script"],
        source_directory=directory if is_given(directory) else None,
        environment=environment_of(rendered),
    )


def plain_service(config: object) -> Plain:
    """A ServiceConfig without its keys."""
    if not isinstance(config, ServiceConfig):
        raise ConfigError(f"service_config={config!r}: give a ServiceConfig(...)")
    return plain_config(config)


def keys_of(config: object) -> dict[str, object]:
    """The keys that a ServiceConfig sets."""
    return {name: value for name in KEYS if (value := getattr(config, name, None)) is not None}


def unstored_keys(keys: Mapping[str, object]) -> Unstored:
    """Keys by the names of their arguments; a template is rendered when the task runs."""
    if late := [name for name, key in keys.items() if not isinstance(key, str)]:
        told = "the output of a task cannot be given there, since Airflow stores it; give a template of a connection or a variable"
        raise ConfigError(f"{', '.join(late)}: {told}")
    return Unstored(keys)


def plain_seconds(name: str, value: object) -> float:
    """A length of time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(f"{name}={value!r}: give a number of seconds, more than 0")
    return value


def plain_sample(sample: object) -> object:
    """Text, or what JSON can hold once its templates are rendered."""

    def later(value: object) -> None:
        if not is_template(value):
            raise ConfigError(f"sample_input: a {type(value).__name__} is no JSON; give text, or what JSON can hold")

    json.dumps(sample, default=later)
    return sample


def service_of(rendered: Plain, keys: Mapping[str, str]) -> ServiceConfig:
    """A ServiceConfig. A template that gave nothing means the default."""
    defaults = {field.name: field.default for field in fields(ServiceConfig)}
    given: Plain = {name: value if is_given(value) else defaults[name] for name, value in rendered.items()}
    return ServiceConfig(**{**given, **keys})


def target_of(rendered: Plain) -> LocalTarget:
    """A target."""
    return LocalTarget.from_plain(rendered)


def told(status: Any) -> dict[str, Any]:  # noqa: ANN401 - a Status, which is not imported while a DAG is parsed
    """What other tasks may know of a service: never a key."""
    return {
        "name": status.name,
        "state": str(status.state),
        "scoring_uri": status.scoring_uri,
        "swagger_uri": status.swagger_uri,
        "revision": status.revision,
        "spec_hash": status.hash,
    }
