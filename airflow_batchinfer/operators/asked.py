"""What a DAG asks for, as the plain dicts, lists and strings that Airflow can render, and from the rendered back to a request.

Airflow renders no objects: a frozen one fails, a mutable one keeps the first run's value, and the output of a task inside
one makes no dependency. The values of environment variables are in no template field, since Airflow stores those.
"""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from airflow_batchinfer.datasets import Dataset, FileDataset, KnownLater, dataset_from_plain, is_reference
from airflow_batchinfer.datasets.listing import GLOB_CHARACTERS
from airflow_batchinfer.environments.python_environment import PythonEnvironment, is_template
from airflow_batchinfer.environments.specification import check_files
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.source import locate
from airflow_batchinfer.service.config import InferenceConfig

Plain = dict[str, Any]
Placed = TypeVar("Placed", ParallelRunConfig, InferenceConfig)
# They reach the tasks on other ways: unstored, and as Airflow's own arguments.
_NOT_RENDERED = ("environment_variables", "compute_target")
_NOTHING = (None, "", "None")
# A side input is a folder of this name on the nodes.
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Unstored:
    """Values that Airflow must not write into its database: what it cannot serialize, it stores as this text."""

    values: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<{', '.join(sorted(self.values)) or 'nothing'}: rendered when the task runs, never stored>"


def plain_config(config: ParallelRunConfig) -> Plain:
    """A config without what is not rendered."""
    values = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in _NOT_RENDERED}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    return {**plain, "environment": config.environment.as_plain() if config.environment else None}


def config_of(rendered: Plain, environment_variables: Mapping[str, str]) -> ParallelRunConfig:
    """The config of a run. A template that gave nothing means the default, as where nothing was given."""
    defaults = {field.name: field.default for field in fields(ParallelRunConfig)}
    given: Plain = {name: value if defaults[name] is not None or is_given(value) else None for name, value in rendered.items()}
    return ParallelRunConfig(**{**given, "environment": environment_of(rendered)}, environment_variables=environment_variables)


def environment_of(rendered: Plain) -> PythonEnvironment | None:
    """The script's environment. What is left out of it by a template that gave nothing is not given."""
    plain = rendered.get("environment")
    if not isinstance(plain, Mapping):
        return None
    return PythonEnvironment.from_plain({name: value for name, value in plain.items() if is_given(value)})


def is_given(rendered: object) -> bool:
    """Whether a template gave anything."""
    return rendered not in _NOTHING


def plain_inputs(inputs: object) -> list[Plain]:
    """Datasets, paths and outputs of other tasks, as plain values."""
    several = inputs if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    if not several:
        raise ConfigError("inputs: give at least one dataset or path")
    return [_plain_input(_output_of(each)) for each in several]


def _plain_input(each: object) -> Plain:
    if isinstance(each, Dataset):
        return each.as_plain()
    if isinstance(each, str | KnownLater):
        return FileDataset.from_files(each).as_plain()
    raise ConfigError(f"inputs: a {type(each).__name__} is no dataset, path or output of a task")


def plain_models(models: Sequence[object]) -> list[object]:
    """References of models and outputs of the tasks that register them."""
    return _texts("models", _listed("models", models))


def plain_side_inputs(side_inputs: Mapping[str, object]) -> dict[str, object]:
    """Paths and outputs of tasks, by name, in the order of the names."""
    if not isinstance(side_inputs, Mapping):
        raise ConfigError(f"side_inputs={side_inputs!r}: give a dict of names and paths")
    if faults := [name for name in side_inputs if not (isinstance(name, str) and _NAME.fullmatch(name))]:
        raise ConfigError([f"side_inputs: {name!r} is no name; give letters, digits, '_', '.' and '-'" for name in faults])
    names = sorted(side_inputs)
    return dict(zip(names, _texts("side_inputs", (side_inputs[name] for name in names)), strict=True))


def plain_arguments(arguments: Sequence[object]) -> list[object]:
    """The script's arguments; numbers become text."""
    return _texts("arguments", (str(each) if isinstance(each, int | float) else each for each in _listed("arguments", arguments)))


def plain_output_dir(output_dir: object) -> object:
    """A folder, the output of a task, or nothing."""
    return None if output_dir is None else _texts("output_dir", [output_dir])[0]


def _listed(name: str, values: object) -> Sequence[object]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ConfigError(f"{name}={values!r}: give a list")
    return values


def _texts(name: str, values: Iterable[object]) -> list[object]:
    found = [_output_of(value) for value in values]
    if faults := [f"{name}: {value!r} is neither text nor the output of a task" for value in found if not _can_be_rendered(value)]:
        raise ConfigError(faults)
    return found


def _output_of(each: object) -> object:
    """An operator or a step stands for its output, and a Path for its text."""
    if isinstance(each, Path):
        return str(each)
    return each if isinstance(each, str) or is_template(each) else getattr(each, "output", each)


def _can_be_rendered(value: object) -> bool:
    return isinstance(value, str) or is_template(value)


def anchored(path: str, folder: str) -> str:
    """A path that is relative, below a folder; URLs, absolute paths and references to datasets as they are."""
    if "://" in path or path.startswith(("/", "~")) or is_reference(path):
        return path
    above = glob.escape(folder) if GLOB_CHARACTERS.search(path) else folder
    return f"{above.rstrip('/')}/{path}"


def inputs_of(rendered: Sequence[Plain], folder: str) -> list[Dataset]:
    """The datasets of a run, their relative paths below the workspace."""
    if not all(path for plain in rendered for path in plain["paths"]):
        raise ConfigError("inputs: a template gave no path; say in the trigger form which input to score")
    datasets = [dataset_from_plain({**plain, "paths": [_as_text(path) for path in plain["paths"]]}) for plain in rendered]
    return [replace(dataset, paths=tuple(anchored(path, folder) for path in dataset.paths)) for dataset in datasets]


def _as_text(path: object) -> object:
    """Where templates give Python's own values, a folder that is called 20260101 comes as a number."""
    return str(path) if isinstance(path, int | float) else path


def in_dag_folder(config: Placed, folder: Path) -> Placed:
    """A config whose source lies below the DAG file's folder, since it is shipped with the DAG."""
    if config.source_directory is None:
        return replace(config, entry_script=str(folder / config.entry_script))
    return replace(config, source_directory=str(folder / config.source_directory))


def check_source(config: Placed, dag_folder: Path) -> None:
    """Raise if the script is not there, as far as that can be known before a run."""
    if is_template(config.entry_script) or is_template(config.source_directory):
        return
    placed = in_dag_folder(config, dag_folder)
    locate(placed.entry_script, placed.source_directory)


def check_environment(config: Placed, dag_folder: Path) -> None:
    """Raise if a file that says what the script's environment holds is missing or wrong, as far as that can be known before a run."""
    if config.environment is not None:
        check_files(config.environment, dag_folder)


def check_workspace(url: object, conn_id: object) -> None:
    """Raise if both are given, or if what is given cannot be the same place for every task."""
    if url and conn_id:
        raise ConfigError(f"workspace={url!r} and workspace_conn_id={conn_id!r} are given both: give one of them")
    if is_template(conn_id):
        raise ConfigError(f"workspace_conn_id={conn_id!r} is no template: give the connection's name, or a template as workspace")
    if isinstance(url, str) and url and not is_template(url) and "://" not in url and not url.startswith(("/", "~")):
        raise ConfigError(f"workspace={url!r} must be a URL or an absolute path, since every worker of Airflow has its own folders")


def plain_flag(name: str, value: object) -> bool:
    """True or False: a template would be text, and any text is true."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r}: give True or False; it cannot be a template")
    return value


def check_node_count(node_count: object) -> None:
    """Raise if Airflow cannot map so many nodes: it would say so only with a status code."""
    from airflow.sdk.configuration import conf

    most = conf.getint("core", "max_map_length")
    if not is_template(node_count) and float(str(node_count)) > most:
        raise ConfigError(f"node_count={node_count!r}: Airflow maps at most {most} tasks ([core] max_map_length); ask for fewer nodes")
