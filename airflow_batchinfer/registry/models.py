"""The model registry: `models/<name>/<version>/model.json` with the files in a folder beside it.

A version appears when its model.json is created, exclusively and last; whoever loses the race for a number moves on to
the next. The same content again is the same version. A deleted version leaves its number taken.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.storage import LocalStore, Store, copy_file, copy_tree, is_local, local_path
from airflow_batchinfer.workspace import Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


@dataclass(frozen=True)
class Model:
    """One version of a model. `files` is the folder that holds what was registered, under its own name."""

    name: str
    version: int
    digest: str
    files: str
    size_bytes: int
    registered_at: float
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    deleted: bool = False

    @property
    def reference(self) -> str:
        """How it is named elsewhere."""
        return f"{self.name}:{self.version}"

    @property
    def folder(self) -> str:
        """Its files' place in the workspace."""
        return f"models/{self.name}/{self.version}/{self.files}"


class ModelRegistry:
    """The models of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._store = workspace.store

    def register(self, name: str, path: str, *, tags: Mapping[str, str] | None = None, description: str | None = None) -> Model:
        """Register a local file or folder; content that is registered under this name already gives that version."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"the model name {name!r}: give letters, digits, '.', '_' and '-', beginning with a letter or a digit")
        source, top = _content(path)
        digest, size_bytes = _measure(source, top)
        existing = list(self._versions(name))
        uploaded: str | None = None
        version = 1
        while True:
            if same := next((model for model in existing if model.digest == digest and not model.deleted), None):
                if uploaded:
                    self._store.delete(uploaded)
                return same
            version = max([version, *(model.version + 1 for model in existing)])
            model = Model(name, version, digest, f"files-{uuid4().hex[:8]}", size_bytes, time.time(), tags or {}, description)
            self._place(source, top, uploaded, model.folder)
            uploaded = model.folder
            try:
                self._store.create(_record(name, version), json.dumps(asdict(model), indent=1).encode())
            except FileExistsError:
                existing.append(self._read(name, version))
            else:
                return model

    def resolve(self, reference: str) -> Model:
        """The model that `name`, `name:3` or `name:latest` means now."""
        name, _, wanted = reference.partition(":")
        versions = self.versions(name) if _NAME.fullmatch(name) else []
        if not versions:
            raise NotFoundError(f"there is no model {name!r}; registered are: {', '.join(self.names()) or 'none'}")
        if wanted in ("", "latest"):
            return versions[-1]
        for model in versions:
            if str(model.version) == wanted:
                return model
        raise NotFoundError(
            f"there is no model {reference!r}; versions of {name} are: {', '.join(str(model.version) for model in versions)}"
        )

    def names(self) -> list[str]:
        """The models that have a version."""
        return [name for name in self._store.children("models") if self.versions(name)]

    def versions(self, name: str) -> list[Model]:
        """The versions of a model, in order."""
        return [model for model in self._versions(name) if not model.deleted]

    def delete(self, reference: str) -> list[Model]:
        """Delete `name:3`, or every version of `name`; the numbers stay taken."""
        name, _, wanted = reference.partition(":")
        newest = self.resolve(reference)
        doomed = [newest] if wanted else self.versions(name)
        for model in doomed:
            with self._store.writer(_record(model.name, model.version)) as stream:
                stream.write(json.dumps({**asdict(model), "deleted": True}).encode())
            self._store.delete(model.folder)
        return doomed

    def bring(self, models: list[Model], folder: Path) -> Path:
        """Make AZUREML_MODEL_DIR: for one model what holds its files, for several `<name>/<version>/` of each."""
        if len(models) == 1:
            return self._bring(models[0], folder / models[0].name)
        for model in models:
            self._bring(model, folder / model.name / str(model.version))
        return folder

    def _bring(self, model: Model, place: Path) -> Path:
        """A model's files on this machine: where they lie, if they lie here, else a copy."""
        root = self._store.local_root
        place.parent.mkdir(parents=True, exist_ok=True)
        if root is not None:
            place.symlink_to(root / model.folder)
            return root / model.folder
        copy_tree(self._store, model.folder, LocalStore(place), "")
        return place

    def _versions(self, name: str) -> Iterator[Model]:
        """All versions in order, also deleted ones: numbers without a gap, so no listing is needed."""
        version = 1
        while True:
            try:
                yield self._read(name, version)
            except FileNotFoundError:
                return
            version += 1

    def _read(self, name: str, version: int) -> Model:
        stored: dict[str, Any] = json.loads(self._store.read(_record(name, version)))
        return Model(**stored)

    def _place(self, source: Store, top: str, uploaded: str | None, folder: str) -> None:
        """Put the content in a version's folder: from where it was registered, or moved from the number that was lost."""
        if uploaded is None:
            for path in _files(source, top):
                copy_file(source, path, self._store, f"{folder}/{path}")
        else:
            copy_tree(self._store, uploaded, self._store, folder)
            self._store.delete(uploaded)


def _record(name: str, version: int) -> str:
    return f"models/{name}/{version}/model.json"


def _content(path: str) -> tuple[LocalStore, str]:
    """The folder above what is registered, and its name in it."""
    if not is_local(path):
        raise ConfigError(f"the model path {path!r}: give a local file or folder")
    place = local_path(path)
    if not place.exists():
        raise NotFoundError(f"the model path {path!r} does not exist (looked for {place})")
    place = place.resolve()
    return LocalStore(place.parent), place.name


def _files(source: LocalStore | Store, top: str) -> list[str]:
    if source.local_root is not None and (source.local_root / top).is_file():
        return [top]
    return list(source.find(top))


def _measure(source: LocalStore, top: str) -> tuple[str, int]:
    """A digest of names and content, and the size."""
    digest, size_bytes = hashlib.sha256(), 0
    files = _files(source, top)
    if not files:
        raise ConfigError(f"the model path {source.url}/{top} is an empty folder")
    for path in files:
        try:
            with source.open(path) as file:
                content = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # typeshed asks for more than is used
                size_bytes += file.tell()
        except FileNotFoundError as error:
            raise ConfigError(f"the model's file {source.url}/{path} is a link that leads nowhere; remove it or mend it") from error
        digest.update(f"{path}\0{content.hexdigest()}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest(), size_bytes
