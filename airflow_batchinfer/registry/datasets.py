"""The dataset registry, `datasets/<name>/<version>.json`, and what `dataset:name[:version]` means where an input is named.

What is registered is a definition, not the files: they are listed anew by every run. Every stored definition means the
same everywhere and at any time, so its paths are absolute, and none of them refers to another dataset.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

from airflow_batchinfer.datasets import REFERENCE_PREFIX, Dataset, FileDataset, TabularDataset, dataset_from_plain, is_reference, list_items
from airflow_batchinfer.errors import ConfigError, ConflictError, Faults, NotFoundError
from airflow_batchinfer.registry.numbered import NumberedRecords
from airflow_batchinfer.storage import is_local, local_path
from airflow_batchinfer.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegisteredDataset:
    """One version of a dataset."""

    name: str
    version: int
    dataset: Dataset
    registered_at: float
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    deleted: bool = False

    @property
    def reference(self) -> str:
        """How it is named where an input is named."""
        return f"{REFERENCE_PREFIX}{self.name}:{self.version}"

    def as_plain(self) -> dict[str, Any]:
        """As it is stored, and as the command line shows it."""
        return {
            "name": self.name,
            "version": self.version,
            "dataset": self.dataset.as_plain(),
            "registered_at": self.registered_at,
            "tags": dict(self.tags),
            "description": self.description,
            "deleted": self.deleted,
        }


class DatasetRegistry:
    """The datasets of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._records = NumberedRecords(workspace.store, "dataset", _record, _encode, _decode)

    def register(
        self,
        name: str,
        dataset: Dataset,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        create_new_version: bool = False,
        validate: bool = True,
    ) -> RegisteredDataset:
        """Register a definition; if it is the latest of this name already, that is given. Relative paths count from here.

        Another definition becomes the next version only on demand. `validate` refuses paths that match nothing yet.
        """
        faults = Faults()
        faults.attempt(lambda: self._check_name(name))
        definition = faults.attempt(lambda: self._definition(dataset, validate=validate))
        faults.raise_any()
        existing = list(self._records.all(name))
        while True:
            latest = next((record for record in reversed(existing) if not record.deleted), None)
            if latest and latest.dataset == definition:
                return latest
            if latest and not create_new_version:
                raise ConflictError(
                    f"the dataset name {name!r} is taken: {latest.reference} is {latest.dataset}. To make {definition} its next version, "
                    "say create_new_version=True (--create-new-version)"
                )
            version = len(existing) + 1
            record = RegisteredDataset(name, version, definition, time.time(), dict(tags or {}), description)
            try:
                self._records.create(record)
            except FileExistsError:
                existing.append(self._records.read(name, version))
            else:
                return record

    def resolve(self, reference: str) -> RegisteredDataset:
        """The dataset that `name`, `name:3` or `name:latest` means now, with or without `dataset:` before it."""
        return self._records.resolve(reference.removeprefix(REFERENCE_PREFIX))

    def names(self) -> list[str]:
        """The datasets that have a version."""
        return self._records.names()

    def versions(self, name: str) -> list[RegisteredDataset]:
        """The versions of a dataset, in order."""
        return self._records.versions(name)

    def delete(self, reference: str) -> list[RegisteredDataset]:
        """Delete `name:3`, or every version of `name`; the files stay, and the numbers stay taken."""
        newest = self.resolve(reference)
        doomed = [newest] if ":" in reference.removeprefix(REFERENCE_PREFIX) else self.versions(newest.name)
        for record in doomed:
            self._records.mark_deleted(record)
        return doomed

    def _check_name(self, name: str) -> None:
        self._records.check_name(name)
        if name == REFERENCE_PREFIX.rstrip(":"):
            raise ConfigError(f"the dataset name {name!r} begins every reference; choose another")

    def _definition(self, dataset: Dataset, *, validate: bool) -> Dataset:
        """What is stored of a dataset: each path once, in a form that means the same everywhere."""
        if unknown := [path for path in dataset.paths if not isinstance(path, str)]:
            raise ConfigError(f"a dataset is registered with paths that are known now, not with {unknown}")
        (resolved,) = resolve_inputs(self._workspace, [dataset])
        if validate:
            _check_not_empty(resolved)
        paths = {str(local_path(path)) if is_local(path) else path for path in resolved.paths}
        return replace(resolved, paths=tuple(sorted(paths)))


def resolve_inputs(workspace: Workspace, inputs: Sequence[Dataset]) -> list[Dataset]:
    """The inputs with their references replaced by what is registered now; one error tells of all that are not."""
    registry, faults = DatasetRegistry(workspace), Faults()
    resolved = [faults.attempt(partial(_resolve_input, registry, dataset)) for dataset in inputs]
    faults.raise_any()
    return resolved


def resolve_side_inputs(workspace: Workspace, side_inputs: Mapping[str, str]) -> dict[str, str]:
    """The same for side inputs, each of which must be one path in the end."""
    registry, faults = DatasetRegistry(workspace), Faults()
    resolved = {name: faults.attempt(partial(_resolve_side_input, registry, name, path)) for name, path in side_inputs.items()}
    faults.raise_any()
    return resolved


def _resolve_input(registry: DatasetRegistry, dataset: Dataset) -> Dataset:
    if len(dataset.paths) == 1 and is_reference(dataset.paths[0]):
        found = _look_up(registry, dataset.paths[0])
        if isinstance(dataset, TabularDataset) and isinstance(found, FileDataset) and not found.is_cut:
            return replace(dataset, paths=found.paths, partition_format=dataset.partition_format or found.partition_format)
        _check_read_alike(dataset, found)
        found = found.skip(dataset.start)
        return found if dataset.stop is None else found.take(max(0, dataset.stop - dataset.start))
    faults = Faults()
    paths = [faults.attempt(partial(_paths_behind, registry, path)) for path in dataset.paths]
    faults.raise_any()
    return replace(dataset, paths=tuple(chain.from_iterable(paths)))


def _check_read_alike(dataset: Dataset, found: Dataset) -> None:
    """What is said of how a registered dataset is read must be what it was registered with, or nothing."""
    unsaid = TabularDataset(dataset.paths)
    names = ("form", "kept", "partition_format") if isinstance(dataset, TabularDataset) else ("partition_format",)
    said = {name: getattr(dataset, name) for name in names if getattr(dataset, name) != getattr(unsaid, name)}
    if any(value != getattr(found, name, None) for name, value in said.items()):
        told = "how it is read is part of the registered dataset: leave out what says so here (--table-option, --partition-format)"
        raise ConfigError(f"the input {dataset.paths[0]!r} is {found}; {told}, or register it anew")


def _paths_behind(registry: DatasetRegistry, path: str) -> tuple[str, ...]:
    """The paths of one among several."""
    if not is_reference(path):
        return (path,)
    found = _look_up(registry, path)
    if found.is_cut or isinstance(found, TabularDataset):
        why = "is cut by skip or take" if found.is_cut else "is a table"
        raise ConfigError(f"the input {path!r} {why} ({found}), so it has no place among other paths: make it an input of its own")
    return found.paths


def _resolve_side_input(registry: DatasetRegistry, name: str, path: str) -> str:
    if not is_reference(path):
        return path
    found = _look_up(registry, path)
    if len(found.paths) > 1 or found.is_cut:
        raise ConfigError(f"the side input {name}={path!r} is {found}; a side input is one file or one folder")
    return found.paths[0]


def _look_up(registry: DatasetRegistry, reference: str) -> Dataset:
    found = registry.resolve(reference)
    log.info("%s is version %d: %s", reference, found.version, found.dataset)
    return found.dataset


def _check_not_empty(dataset: Dataset) -> None:
    """Look for a first file behind each path, and behind a cut of files: no more is listed than that takes."""
    faults = Faults()
    for path in dataset.paths:
        faults.attempt(partial(_check_has_files, FileDataset((path,))))
    faults.raise_any()
    if dataset.is_cut and isinstance(dataset, FileDataset):
        _check_has_files(dataset)


def _check_has_files(dataset: FileDataset) -> None:
    try:
        if next(list_items(dataset), None) is None:
            raise NotFoundError(f"the dataset {dataset} has no files now")
    except NotFoundError as error:
        raise ConfigError(f"{error}; if they are still to come, say validate=False (--no-validate)") from error


def _record(name: str, version: int) -> str:
    return f"datasets/{name}/{version}.json"


def _encode(record: RegisteredDataset) -> bytes:
    return json.dumps(record.as_plain(), indent=1).encode()


def _decode(text: bytes) -> RegisteredDataset:
    stored = json.loads(text)
    return RegisteredDataset(**{**stored, "dataset": dataset_from_plain(stored["dataset"])})
