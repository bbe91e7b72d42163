"""What a revision needs on this machine: its source, its models, its Python. Brought by whoever deploys, so that the processes which
live on need neither the workspace nor its credentials.
"""

import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_batchinfer.deployment.local.folder import ServiceFolder
from airflow_batchinfer.deployment.spec import Spec
from airflow_batchinfer.deployment.target import Order
from airflow_batchinfer.environments.gpus import visible_gpus
from airflow_batchinfer.environments.interpreter import Interpreter
from airflow_batchinfer.environments.providing import provide
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.processes import Launch, without_secrets
from airflow_batchinfer.registry import Model, ModelRegistry
from airflow_batchinfer.service.keys import KeyFile
from airflow_batchinfer.service.machine import this_machine
from airflow_batchinfer.service.protocol import Start
from airflow_batchinfer.service.seats import seats_of
from airflow_batchinfer.service.serving import Service
from airflow_batchinfer.storage.local import explained


@dataclass(frozen=True)
class Material:
    """A revision on this machine, as it is kept beside it."""

    interpreter: str | None
    model_folder: str | None
    models: Sequence[Mapping[str, Any]]
    workspace: str


def bring(folder: ServiceFolder, number: int, order: Order) -> None:
    """Make the folder of a revision, whole or not at all."""
    making = folder.path / "revisions" / f".{uuid4().hex}"
    place = folder.revision(number)
    _remove_unfinished(making.parent)
    try:
        with explained(making):
            _fill(making, place, folder, order)
            _make_durable(making)
            making.rename(place)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)  # on a full disk, what it took is needed
        raise


def _fill(making: Path, place: Path, folder: ServiceFolder, order: Order) -> None:
    making.mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(order.source.archive)) as archive:
        archive.extractall(making / "source")  # our own archive, whose names are relative
    model_folder, models = _bring_models(folder, making, place, order)
    lock = f"environments/{order.spec.hash}.json"
    interpreter = provide(folder.store, lock, Specification.from_json(order.spec.environment))
    material = Material(interpreter.path, model_folder, models, order.workspace.url)
    (making / "launch.json").write_text(json.dumps(asdict(material)))
    (making / "spec.json").write_text(json.dumps({**order.spec.as_plain(), "rolls_back": order.rollback_on_failure}))


def service_of(folder: ServiceFolder, number: int) -> Service:
    """A revision as the router serves it."""
    place = folder.revision(number)
    spec, material = spec_of(folder, number), Material(**json.loads((place / "launch.json").read_text()))
    interpreter = Interpreter(material.interpreter)
    models = {"AZUREML_MODEL_DIR": material.model_folder} if material.model_folder else {}
    config = spec.service_config()
    return Service(
        name=folder.name,
        config=config,
        launch=Launch(interpreter.executable, str(place / "source"), {**interpreter.variables(without_secrets(os.environ)), **models}),
        start=Start(
            str(place / "source" / spec.entry_script),
            str(place / "source"),
            at_once=config.replica_max_concurrent_requests,
            surroundings={
                "job": folder.name,
                "agent": f"revision-{number}",
                "files": str(folder.files),
                "logs": str(folder.files / "logs"),
                "workspace": material.workspace,
                "models": list(material.models),
            },
        ),
        keys=KeyFile(str(folder.keys)) if config.auth_enabled else None,
        seats=seats_of(config, this_machine(visible_gpus())),
    )


def spec_of(folder: ServiceFolder, number: int) -> Spec:
    """What was asked for."""
    return Spec.from_plain(json.loads((folder.revision(number) / "spec.json").read_text()))


def rolls_back(folder: ServiceFolder, number: int) -> bool:
    """Whether it is given up for the one before if it fails."""
    return bool(folder.read(f"revisions/{number}/spec.json")["rolls_back"])


def prune(folder: ServiceFolder, kept: set[int | None]) -> None:
    """Remove the revisions that nobody goes back to, and the models that only they had."""
    for number in folder.revisions():
        if number not in kept:
            shutil.rmtree(folder.revision(number), ignore_errors=True)
    locks = {f"{spec_of(folder, number).hash}.json" for number in folder.revisions()}
    for name in set(folder.store.children("environments")) - locks:
        folder.store.delete(f"environments/{name}")
    used = {name for number in folder.revisions() for name in _model_folders(folder, number)}
    for name in set(folder.store.children("models")) - used:
        shutil.rmtree(folder.models / name, ignore_errors=True)


def _model_folders(folder: ServiceFolder, number: int) -> list[str]:
    return [_name(reference, digest) for reference, digest in spec_of(folder, number).models]


def _bring_models(folder: ServiceFolder, making: Path, place: Path, order: Order) -> tuple[str | None, list[dict[str, Any]]]:
    """Copies, which stay when a version is deleted; laid out as AZUREML_MODEL_DIR has them: one alone, several by name and version."""
    if not order.spec.models:
        return None, []
    registry = ModelRegistry(order.workspace)
    models = [registry.resolve(reference) for reference, _ in order.spec.models]
    homes = [folder.models / _name(model.reference, model.digest) for model in models]
    for model, home in zip(models, homes, strict=True):
        if not home.is_dir():
            registry.download(model.reference, home)
            _make_durable(home)
    if len(models) == 1:
        return str(homes[0]), [_described(models[0], homes[0])]
    for model, home in zip(models, homes, strict=True):
        link = making / "models" / model.name / str(model.version)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(home)
    described = [_described(model, place / "models" / model.name / str(model.version)) for model in models]
    return str(place / "models"), described


def _make_durable(top: Path) -> None:
    """Where the service stands is kept durably, and names this: after a power failure it must be there whole."""
    for folder, _, names in os.walk(top):
        for path in (*(os.path.join(folder, name) for name in names), folder):
            if not os.path.islink(path):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


def _described(model: Model, place: Path) -> dict[str, Any]:
    return {**model.described(), "path": str(place)}


def _name(reference: str, digest: str) -> str:
    return f"{re.sub('[^A-Za-z0-9._-]', '-', reference)}-{digest[:12]}"


def _remove_unfinished(revisions: Path) -> None:
    """What whoever was killed left behind."""
    for left in revisions.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)
