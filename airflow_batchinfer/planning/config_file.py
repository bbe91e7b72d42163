"""A config as a YAML file, in the form of Azure ML's `ParallelRunConfig.save_to_yaml`: everything under one key.

What that form says of Azure's own machines and images means nothing here and is left out, with a warning that names it.
"""

import warnings
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.errors import ConfigError, NotFoundError, meant
from airflow_batchinfer.planning.compute_target import ComputeTarget

if TYPE_CHECKING:
    from airflow_batchinfer.planning.config import ParallelRunConfig

KEY = "parallel_run_config"
_LINE_ENDS = "\x85\u2028\u2029"
_REQUIRED = ("entry_script", "error_threshold")
# Azure's own, a cluster and how a Docker image is built, and which argument of ours says that.
_OF_AZURE = {
    "compute_target_name": "compute_target",
    "environment": "environment",
    "environment_name": "environment",
    "environment_version": "environment",
    "environment_dir_path": "environment",
}
_INSTEAD = {
    "compute_target": "where the nodes run with compute_target=ComputeTarget(...)",
    "environment": "in which Python the script runs with environment=PythonEnvironment(...)",
}
# What the original must find and we have no word for: Airflow's own interpreter, and where Airflow runs what says no pool.
_NO_ENVIRONMENT = {"name": "airflow", "python": {"userManagedDependencies": True}}
_NO_TARGET = "default_pool"
_OURS = "batchinfer"


def read(path: Path, known: Collection[str], instead: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of known names that a file holds, and those given instead."""
    stored = _without_stand_ins(_mapping(path))
    if isinstance(stored.get("compute_target"), str):  # as Azure's argument is called, of which its files keep the name only
        stored["compute_target_name"] = stored.pop("compute_target")
    found = {name: value for name, value in stored.items() if name in known and value is not None} | dict(instead)
    if isinstance(target := found.get("compute_target"), Mapping):
        found["compute_target"] = _target(path, target)
    if "environment" in found and "environment" not in instead:
        environment = found.pop("environment")
        if _is_ours(environment):
            found["environment"] = PythonEnvironment.from_plain(environment)
    if unknown := [name for name in stored if name not in known and name not in _OF_AZURE]:
        raise ConfigError([f"{path}: {name!r} under {KEY} is no argument of ParallelRunConfig{meant(name, known)}" for name in unknown])
    if missing := [name for name in _REQUIRED if name not in found]:
        raise ConfigError([f"{path}: there is no {name} under {KEY}:" for name in missing])
    said = {name: argument for name, argument in _OF_AZURE.items() if stored.get(name) is not None and argument not in found}
    if said:
        told = f"{path}: left out, since it is Azure ML's: {', '.join(said)}; say "
        warnings.warn(told + " and ".join(_INSTEAD[argument] for argument in dict.fromkeys(said.values())), stacklevel=3)
    return found


def write(path: Path, config: "ParallelRunConfig") -> None:
    """Write every argument."""
    import yaml

    from airflow_batchinfer.planning import yaml_text

    values = {field.name: getattr(config, field.name) for field in fields(config)}
    stored = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    target = config.compute_target
    # The original looks its cluster up by a name; it leaves out what it does not know.
    stored |= {"compute_target": target and asdict(target), "compute_target_name": (target and (target.queue or target.pool)) or _NO_TARGET}
    # Within what the original takes for an environment that others look after.
    ours = {} if config.environment is None else {_OURS: config.environment.as_plain()}
    stored["environment"] = {**_NO_ENVIRONMENT, **ours}
    if config.partition_keys is not None:
        stored["partition_keys"] = list(config.partition_keys)
    if config.environment_variables is not None:
        stored["environment_variables"] = dict(config.environment_variables)
    try:
        text = yaml_text.dump({KEY: stored}, allow_unicode=True)
        if any(mark in text for mark in _LINE_ENDS):  # written as they are, they would be read as spaces
            text = yaml_text.dump({KEY: stored}, allow_unicode=False)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} can only hold text and numbers, not what a run knows or an object: {error}") from error
    path.write_text(text, "utf-8")


def _is_ours(environment: object) -> bool:
    """The original's has a name, and mappings in it."""
    return (
        isinstance(environment, Mapping)
        and "name" not in environment
        and not any(isinstance(value, Mapping) for value in environment.values())
    )


def _without_stand_ins(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says, but for what `write` wrote only for the original."""
    found = dict(stored)
    if isinstance(found.get("compute_target", ""), Mapping | None):
        found.pop("compute_target_name", None)
    environment = found.get("environment")
    if isinstance(environment, Mapping) and {**environment, _OURS: None} == {**_NO_ENVIRONMENT, _OURS: None}:
        found["environment"] = environment.get(_OURS)
    return found


def _target(path: Path, stored: Mapping[str, Any]) -> ComputeTarget:
    try:
        return ComputeTarget(**stored)
    except TypeError as error:
        raise ConfigError(f"{path}: compute_target holds {', '.join(map(str, stored))}: {error}") from error


def _mapping(path: Path) -> Mapping[str, Any]:
    import yaml

    from airflow_batchinfer.planning import yaml_text

    try:
        stored = yaml_text.load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path.absolute()}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(stored, dict) or not isinstance(stored.get(KEY), dict):
        raise ConfigError(f"{path} holds no {KEY}: with arguments below it, as ParallelRunConfig.to_yaml writes it")
    return cast("Mapping[str, Any]", stored[KEY])
