"""What a script finds on this machine: its source, models and side inputs, its arguments and its environment.

Everything is brought once per node. Secrets stay here: the script sees local paths, and the values of its environment
variables are never written anywhere.
"""

import io
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from airflow_batchinfer.datasets import FileDataset, list_items
from airflow_batchinfer.engine.protocol import Start
from airflow_batchinfer.engine.supervisor import Place
from airflow_batchinfer.environments.interpreter import Interpreter
from airflow_batchinfer.errors import ConfigError, StorageError
from airflow_batchinfer.planning.config import Rules
from airflow_batchinfer.planning.planner import digests_of, listing_digest
from airflow_batchinfer.planning.spec import Job
from airflow_batchinfer.planning.stored import source_file
from airflow_batchinfer.processes import Launch, without_secrets
from airflow_batchinfer.registry import Model, ModelRegistry
from airflow_batchinfer.storage import insist, is_local, local_path, open_file_system
from airflow_batchinfer.workspace import JobFolder, Workspace


@dataclass(frozen=True)
class Stage:
    """A job's material on this machine."""

    job: Job
    rules: Rules
    interpreter: Interpreter
    folder: Path
    files: Path
    models: Sequence[Mapping[str, Any]]
    workspace_url: str
    model_folder: Path | None
    side_inputs: Mapping[str, str]
    environment_variables: Mapping[str, str]

    def launch(self) -> Launch:
        """How this job's workers are started."""
        environment = self.interpreter.variables(without_secrets(os.environ))
        if self.model_folder:
            environment["AZUREML_MODEL_DIR"] = str(self.model_folder)
        environment["AZUREML_NODE_COUNT"] = str(self.rules.nodes)
        return Launch(self.interpreter.executable, str(self.folder / "source"), {**environment, **self.environment_variables})

    def places(self, node: str, count: int, gpus: Sequence[str]) -> list[Place]:
        """Where the workers work: each with a GPU of its own, if there are any, and a folder for files that it writes."""
        found = []
        for number in range(count):
            files = self.files / ("shared" if self.rules.nodes == 1 else f"{node}-{number}")
            files.mkdir(parents=True, exist_ok=True)
            environment = {"AZUREML_BI_OUTPUT_PATH": str(files)}
            if gpus:
                environment |= {"CUDA_VISIBLE_DEVICES": gpus[number], "AZ_BATCHAI_GPU_COUNT_FOUND": str(len(set(gpus)))}
            found.append(Place(number, environment, self._arguments(files), self._surroundings(f"{node}-{number}", number, files)))
        return found

    def start(self, place: Place) -> Start:
        """What a worker at a place is told first."""
        spec = self.job.spec
        source = self.folder / "source"
        script = str(source / spec.entry_script)
        tables = tuple(json.loads(table) for table in spec.tables)
        return Start(
            script,
            str(source),
            place.arguments,
            spec.appends_rows,
            json.loads(spec.to_csv),
            self.rules.logging_level,
            tables,
            result_format=spec.result_format,
            include_item=spec.include_item,
            azureml_compat=spec.azureml_compat,
            tensorflow_v1=spec.tensorflow_v1,
            surroundings=place.surroundings,
        )

    def _surroundings(self, agent: str, number: int, files: Path) -> dict[str, Any]:
        """What a worker's stand-ins for Azure ML's names know without asking."""
        return {
            "job": self.job.name,
            "agent": agent,
            "files": str(files),
            "logs": str(self.folder / "logs" / f"worker-{number}"),
            "workspace": self.workspace_url,
            "models": list(self.models),
        }

    def _arguments(self, files: Path) -> tuple[str, ...]:
        """The script's own arguments, then what the original gave to every script, unless it has arguments of those names."""
        own = [_fill_in(argument, self.side_inputs) for argument in self.job.spec.arguments]
        ours = {
            "--logging_level": self.rules.logging_level,
            "--output": str(files),
            "--mini_batch_size": str(self.job.spec.mini_batch_size),
        }
        for name, value in ours.items():
            if not any(argument == name or argument.startswith(f"{name}=") for argument in own):
                own += [name, value]
        return tuple(own)


def stage(
    workspace: Workspace, job: Job, rules: Rules, interpreter: Interpreter, folder: Path, environment_variables: Mapping[str, str]
) -> Stage:
    """Bring a job's material to this machine, if it is still as it was planned."""
    _require_unchanged(job, environment_variables)
    with zipfile.ZipFile(io.BytesIO(workspace.store.read(source_file(job)))) as archive:
        archive.extractall(folder / "source")  # our own archive, whose names are relative
    registry = ModelRegistry(workspace)
    models = [registry.resolve(reference) for reference, _ in job.spec.models]
    root = workspace.store.local_root
    model_folder = registry.bring(models, folder / "models") if models else None
    return Stage(
        job=job,
        rules=rules,
        interpreter=interpreter,
        folder=folder,
        files=root / JobFolder(job.name).files if root else folder / "files",
        models=[{**model.described(), "path": str(_place(model, model_folder, models))} for model in models if model_folder],
        workspace_url=workspace.url,
        model_folder=model_folder,
        side_inputs={name: _bring(url, folder / "side_inputs" / name) for name, url, _ in job.spec.side_inputs},
        environment_variables=environment_variables,
    )


def _place(model: Model, folder: Path, models: Sequence[Model]) -> Path:
    """Where a model's own files are in what `bring` made."""
    return folder if len(models) == 1 else folder / model.name / str(model.version)


def _require_unchanged(job: Job, environment_variables: Mapping[str, str]) -> None:
    """The fingerprint says what the rows were made with; others would be made with something else."""
    now = dict(digests_of(environment_variables))
    faults = [
        f"the environment variable {name} has another value than when the job was planned"
        for name, digest in job.spec.environment_variables
        if now.get(name) != digest
    ]
    faults += [
        f"the side input {name}={url} has changed since the job was planned"
        for name, url, digest in job.spec.side_inputs
        if listing_digest(name, url) != digest
    ]
    if faults:
        raise ConfigError([f"{fault}: plan again to score with what is there now" for fault in faults])


def _bring(url: str, place: Path) -> str:
    """A side input as a local path: where it lies, if it lies here, else a copy."""
    if is_local(url):
        return str(local_path(url))
    try:
        return _copy(url, place)
    except OSError as error:
        raise StorageError(f"the side input {url} cannot be brought: {error}") from error


def _copy(url: str, place: Path) -> str:
    fs, top = open_file_system(url)
    if insist(lambda: fs.info(top), url)["type"] == "file":
        target = place / top.rpartition("/")[2]
        target.parent.mkdir(parents=True)
        insist(lambda: fs.get_file(top, str(target)), url)
        return str(target)
    prefix = top.rstrip("/") + "/"
    for item in list_items(FileDataset.from_files(url)):
        path = open_file_system(item.path)[1]
        parts = path.removeprefix(prefix).split("/")
        if ".." in parts:
            raise ConfigError(f"the side input {url} holds {item.path!r}, whose name leads out of its folder; rename it")
        target = place.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        insist(partial(fs.get_file, path, str(target)), item.path)
    return str(place)


def _fill_in(argument: str, side_inputs: Mapping[str, str]) -> str:
    if not side_inputs:
        return argument
    names = "|".join(map(re.escape, side_inputs))
    return re.sub(rf"\{{({names})\}}", lambda found: side_inputs[found[1]], argument)
