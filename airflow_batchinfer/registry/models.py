"""The model registry: `models/<name>/<version>/model.json` with the files in a folder beside it.

A version appears when its model.json is created, exclusively and last; whoever loses the race for a number moves on to
the next. The same content again is the same version, unless another is asked for. A deleted version leaves its number
taken.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_batchinfer.errors import ConfigError, Faults, StorageError
from airflow_batchinfer.registry.downloads import without_secrets
from airflow_batchinfer.registry.landing import landing
from airflow_batchinfer.registry.numbered import NumberedRecords
from airflow_batchinfer.registry.sources import Content, content_of, measured
from airflow_batchinfer.storage import LocalStore, comparable, copy_file, copy_tree, local_path
from airflow_batchinfer.workspace import Workspace


@dataclass(frozen=True)
class Model:
    """One version of a model. `files` is the folder that holds what was registered; digest and size are of all of it."""

    name: str
    version: int
    digest: str
    files: str
    size_bytes: int
    registered_at: float
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    deleted: bool = False

    @property
    def reference(self) -> str:
        """How it is named elsewhere."""
        return f"{self.name}:{self.version}"

    def described(self) -> dict[str, Any]:
        """What a script may know of it."""
        known = ("name", "version", "tags", "properties", "description", "registered_at")
        return {name: getattr(self, name) for name in known}

    @property
    def folder(self) -> str:
        """Its files' place in the workspace."""
        return f"models/{self.name}/{self.version}/{self.files}"


class ModelRegistry:
    """The models of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._store = workspace.store
        self._records = NumberedRecords(workspace.store, "model", _record, _encode, _decode)

    def register(
        self,
        name: str,
        path: str,
        *,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        always_new_version: bool = False,
    ) -> Model:
        """Register what a path or URL names; content that has a version under this name already gives that version, as it is.

        :param path: A file or a folder, local or on any storage or by http(s), or an archive (.zip, .tar.gz, .tgz, .tar)
            whose files are registered.
        :param always_new_version: Make a new version also of the same content.
        """
        faults = Faults()
        faults.attempt(lambda: self._records.check_name(name))
        faults.attempt(lambda: self._check_path(path))
        faults.attempt(lambda: _check_pairs("tags", tags))
        faults.attempt(lambda: _check_pairs("properties", properties))
        faults.raise_any()
        with content_of(path) as content:
            model = Model(
                name=name,
                version=0,
                digest=content.digest,
                files=f"files-{uuid4().hex[:8]}",
                size_bytes=content.size_bytes,
                registered_at=time.time(),
                tags=dict(tags or {}),
                properties=dict(properties or {}),
                description=description,
            )
            return self._add(model, content, always_new=always_new_version)

    def _add(self, wanted: Model, content: Content, *, always_new: bool) -> Model:
        """Give it the next number; whoever takes that before us may have brought the very same content."""
        existing = list(self._records.all(wanted.name))
        placed: str | None = None
        version = 1
        while True:
            same = next((model for model in existing if model.digest == wanted.digest and not model.deleted), None)
            if same and not always_new:
                if placed:
                    self._store.delete(placed)
                return same
            version = max([version, *(model.version + 1 for model in existing)])
            model = replace(wanted, version=version)
            self._place(content, placed, model.folder)
            placed = model.folder
            try:
                self._records.create(model)
            except FileExistsError:
                existing.append(self._records.read(model.name, version))
            else:
                return model

    def resolve(self, reference: str) -> Model:
        """The model that `name`, `name:3` or `name:latest` means now."""
        return self._records.resolve(reference)

    def names(self) -> list[str]:
        """The models that have a version."""
        return self._records.names()

    def versions(self, name: str) -> list[Model]:
        """The versions of a model, in order."""
        return self._records.versions(name)

    def delete(self, reference: str) -> list[Model]:
        """Delete `name:3`, or every version of `name`; the numbers stay taken."""
        newest = self.resolve(reference)
        doomed = [newest] if ":" in reference else self.versions(newest.name)
        for model in doomed:
            self._records.mark_deleted(model)
            self._store.delete(model.folder)
        return doomed

    def bring(self, models: list[Model], folder: Path) -> Path:
        """Make AZUREML_MODEL_DIR: for one model what holds its files, for several `<name>/<version>/` of each."""
        if len(models) == 1:
            return self._bring(models[0], folder / models[0].name)
        for model in models:
            self._bring(model, folder / model.name / str(model.version))
        return folder

    def download(self, reference: str, folder: str | Path) -> Path:
        """Put a version's files into a local folder that is not there yet, or empty: all of them, as registered, or none."""
        model = self.resolve(reference)
        target = local_path(str(folder))
        with landing(target) as making:
            copy_tree(self._store, model.folder, LocalStore(making), "")
            self._require_whole(model, making)
        return target

    def _bring(self, model: Model, place: Path) -> Path:
        """A model's files on this machine: where they lie, if they lie here, else a copy."""
        root = self._store.local_root
        place.parent.mkdir(parents=True, exist_ok=True)
        if root is not None:
            place.symlink_to(root / model.folder)
            return root / model.folder
        copy_tree(self._store, model.folder, LocalStore(place), "")
        return place

    def _place(self, content: Content, placed: str | None, folder: str) -> None:
        """Put the content in a version's folder: from where it was registered, or moved from the number that was lost."""
        try:
            if placed is None:
                for path in content.files:
                    copy_file(content.store, path, self._store, f"{folder}/{path}")
            else:
                copy_tree(self._store, placed, self._store, folder)
                self._store.delete(placed)
        except BaseException:
            with suppress(StorageError):  # what cannot be removed either is of no version, and nobody sees it
                for place in filter(None, (folder, placed)):
                    self._store.delete(place)
            raise

    def _require_whole(self, model: Model, folder: Path) -> None:
        try:
            content = measured(folder, "", model.reference)
        except ConfigError as error:
            raise StorageError(f"the files of {model.reference} are gone from {self._store.url}/{model.folder}") from error
        if content.digest != model.digest:
            raise StorageError(
                f"the files of {model.reference} in {self._store.url}/{model.folder} are not as they were registered: "
                f"{content.size_bytes:,} bytes of {model.size_bytes:,}, digest {content.digest[:12]} and not {model.digest[:12]}"
            )

    def _check_path(self, path: str) -> None:
        """What holds the workspace, or lies in it among the models, would be registered with all that was registered before."""
        place, root = comparable(path), comparable(self._store.url)
        if f"{root}/".startswith(f"{place}/"):
            raise ConfigError(f"the model path {without_secrets(path)} holds the workspace {root}; give a folder of its own")
        if f"{place}/".startswith(f"{root}/models/"):
            raise ConfigError(
                f"the model path {path} lies in {root}/models, where registered models are kept; put what you train elsewhere"
            )


def _record(name: str, version: int) -> str:
    return f"models/{name}/{version}/model.json"


def _encode(model: Model) -> bytes:
    return json.dumps(asdict(model), indent=1).encode()


def _decode(record: bytes) -> Model:
    return Model(**json.loads(record))


def _check_pairs(what: str, pairs: Mapping[str, str] | None) -> None:
    faults = [
        f"{what}: {name!r}: {value!r} is not text with a name; give both as text"
        for name, value in (pairs or {}).items()
        if not (isinstance(name, str) and isinstance(value, str) and name)
    ]
    if faults:
        raise ConfigError(faults)
