"""What scripts ask of their node: models of the registry that the job was not given, by name.

In a thread of its own, since a model may take minutes to come. What a name meant when it was first asked for is bound for the
job, by a record that is created exclusively: all nodes, and whoever resumes the job, go by it. An answer is never an exception:
what is not there is told to the script, which may do without, and what failed as something else. That there was nothing binds
nobody, but is recorded too, since the job came out as it did for lack of it.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_batchinfer.errors import BatchInferError, NotFoundError
from airflow_batchinfer.registry import Model, ModelRegistry
from airflow_batchinfer.workspace import JobFolder, Workspace

log = logging.getLogger(__name__)

Question = Mapping[str, Any]
Answer = Mapping[str, Any]


class Answers:
    """See above; `folder` is where models come to."""

    def __init__(self, workspace: Workspace, job: JobFolder, folder: Path) -> None:
        self._workspace = workspace
        self._registry = ModelRegistry(workspace)
        self._job = job
        self._folder = folder
        self._brought: dict[str, Path] = {}
        self._nothing: set[str] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batchinfer-answers")

    def answer(self, question: Question) -> Future[Answer]:
        """The answer, as soon as there is one."""
        return self._pool.submit(self._answer, question)

    def close(self) -> None:
        """Stop; what was asked and not begun is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _answer(self, question: Question) -> Answer:
        try:
            models = self._found_or_recorded(question)
            if "models" in question:
                return {"models": [model.described() for model in models]}
            return {"models": [{**models[0].described(), "path": str(self._bring(models[0]))}]}
        except NotFoundError as error:
            return {"refused": str(error)}
        except BatchInferError as error:
            return {"failed": str(error)}
        except Exception as error:
            log.warning("the script asked for %s, which failed", dict(question), exc_info=True)
            return {"failed": f"{dict(question)} cannot be answered: {type(error).__name__}: {error}"}

    def _found_or_recorded(self, question: Question) -> list[Model]:
        """The models, or a record that there are none."""
        try:
            models = self._found(question)
        except NotFoundError:
            self._record_nothing(question)
            raise
        if not models:
            self._record_nothing(question)
        return models

    def _found(self, question: Question) -> list[Model]:
        """The models that it means for this job, by now or since it was first asked."""
        if question.get("version") is not None:  # a version never comes to mean something else
            return meant(self._registry, question)
        place = record_of(self._job, question)
        store = self._workspace.store
        try:
            bound = json.loads(store.read(place))["models"]
        except FileNotFoundError:
            models = meant(self._registry, question)
            if not models:  # whoever registers one, and runs it again, must find it
                return []
            bound = [model.reference for model in models]
            try:
                store.create(place, json.dumps({"question": question, "models": bound}).encode())
            except FileExistsError:
                bound = json.loads(store.read(place))["models"]
        return [self._registry.resolve(reference) for reference in bound]

    def _record_nothing(self, question: Question) -> None:
        place = record_of(self._job, question, "nothing-")
        if place not in self._nothing:
            with suppress(FileExistsError):
                self._workspace.store.create(place, json.dumps({"question": question, "models": []}).encode())
            self._nothing.add(place)

    def _bring(self, model: Model) -> Path:
        if model.reference not in self._brought:
            log.info("bringing the model %s, which the script asks for", model.reference)
            self._brought[model.reference] = self._registry.bring([model], self._folder / str(model.version))
        return self._brought[model.reference]


def record_of(job: JobFolder, question: Question, kind: str = "") -> str:
    """Where it is recorded what a question meant, or that it meant nothing yet."""
    digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:20]
    return f"{job.asked}/{kind}{digest}.json"


def meant(registry: ModelRegistry, question: Question) -> list[Model]:
    """What a question means now; for one model at least that, or NotFoundError."""
    if "models" in question:
        names = [question["models"]] if question["models"] else registry.names()
        found = [model for name in names for model in _fitting(registry.versions(name), question, latest=question["latest"])]
        return sorted(found, key=lambda model: model.registered_at, reverse=True)
    name, version = question["model"], question["version"]
    newest = registry.resolve(name if version is None else f"{name}:{version}")
    versions = registry.versions(name) if version is None else [newest]
    if not (fitting := _fitting(versions, question, latest=True)):
        raise NotFoundError(f"no version of the model {newest.reference if version else name!r} has {_told(question)}")
    return fitting


def has_changed(workspace: Workspace, job: str) -> str | None:
    """What a job's script asked for that would mean something else now, in words; None if nothing would."""
    registry = ModelRegistry(workspace)
    for path in workspace.store.find(JobFolder(job).asked):
        recorded = json.loads(workspace.store.read(path))
        try:
            now = [model.reference for model in meant(registry, recorded["question"])]
        except NotFoundError as error:
            if not recorded["models"]:
                continue
            return str(error)
        if now != recorded["models"]:
            return (
                f"its script asked for models by name, which gave {', '.join(recorded['models']) or 'none'} "
                f"and would give {', '.join(now) or 'none'}"
            )
    return None


def _fitting(versions: Sequence[Model], question: Question, *, latest: bool) -> list[Model]:
    found = [model for model in versions if _holds(model.tags, question["tags"]) and _holds(model.properties, question["properties"])]
    return found[-1:] if latest else found


def _holds(pairs: Mapping[str, str], wanted: Sequence[Sequence[str | None]]) -> bool:
    return all(name in pairs and value in (None, pairs[name]) for name, value in wanted if name is not None)


def _told(question: Question) -> str:
    pairs = [*question["tags"], *question["properties"]]
    return ", ".join(str(name) if value is None else f"{name}={value}" for name, value in pairs)
