"""`azureml.core.model`: the models that the job was given, and all others of the registry by name.

Those of the job are on this machine; for any other the node is asked, which brings it, and lets the job keep the version that it
found first.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple, Union

from _batchinfer_unserved import Served, names_of, refuse, worker
from azureml.core.workspace import Workspace
from azureml.exceptions import ModelNotFoundException, WebserviceException

# Azure ML takes names, pairs of name and value, or a dict.
Tags = Union[None, str, Mapping[str, str], Sequence[Any]]


class Model(metaclass=Served):
    """One version of a model, found when it is made."""

    def __init__(
        self,
        workspace: Any,
        name: Optional[str] = None,
        id: Optional[str] = None,  # noqa: A002 - as the original has it
        tags: Tags = None,
        properties: Tags = None,
        version: Optional[int] = None,
        **_: Any,
    ) -> None:
        if id and not name:
            name, _colon, number = id.partition(":")
            version = int(number) if number else None
        if not name:
            raise WebserviceException("Model(workspace, name=...): give the name of a registered model")
        self._keep(_newest(name, version, _pairs(tags), _pairs(properties)))
        self.workspace = workspace if isinstance(workspace, Workspace) else Workspace()

    def _keep(self, found: Dict[str, Any]) -> None:
        self._found = found
        self.name: str = found["name"]
        self.version: int = found["version"]
        self.id = f"{self.name}:{self.version}"
        self.tags: Dict[str, str] = dict(found["tags"])
        self.properties: Dict[str, str] = dict(found["properties"])
        self.description: Optional[str] = found["description"]
        self.created_time = datetime.fromtimestamp(found["registered_at"], timezone.utc)

    @staticmethod
    def get_model_path(model_name: str, version: Optional[int] = None, _workspace: Any = None) -> str:
        """Where it lies: the file itself if it is one file, else its folder."""
        if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
            raise WebserviceException(f"Model.get_model_path({model_name!r}, version={version!r}): give a whole number")
        return _path(_newest(model_name, version, [], []))

    @staticmethod
    def list(
        workspace: Any,
        name: Optional[str] = None,
        tags: Tags = None,
        properties: Tags = None,
        run_id: Optional[str] = None,
        latest: bool = False,  # noqa: FBT001, FBT002 - as the original has it
        **_: Any,
    ) -> List[Model]:
        """Those that are registered, the newest first; with `latest` only the newest version of each name."""
        if run_id is not None:
            raise WebserviceException("Model.list(run_id=...): models are not registered by runs here; give tags or properties")
        question = {"models": name, "tags": _pairs(tags), "properties": _pairs(properties), "latest": bool(latest)}
        models = []
        for found in _asked(question):
            model = Model.__new__(Model)
            model._keep(found)  # noqa: SLF001 - its own class
            model.workspace = workspace if isinstance(workspace, Workspace) else Workspace()
            models.append(model)
        return models

    def download(self, target_dir: str = ".", exist_ok: bool = False, exists_ok: Optional[bool] = None) -> str:  # noqa: FBT001, FBT002
        """Copy it into a folder; the path of the copy, a file or a folder."""
        folder = _folder(self._found)
        names = sorted(os.listdir(folder))
        os.makedirs(target_dir, exist_ok=True)
        taken = [path for path in (os.path.join(target_dir, name) for name in names) if os.path.lexists(path)]
        if taken and not (exist_ok or exists_ok):
            raise WebserviceException(f"{self.id}: {taken[0]} is there already; give exist_ok=True to replace it")
        for name in names:
            _copy(os.path.join(folder, name), os.path.join(target_dir, name))
        return os.path.join(target_dir, names[0]) if len(names) == 1 else target_dir

    def __getattr__(self, name: str) -> NoReturn:
        refuse(type(self), name)

    def __repr__(self) -> str:
        return f"Model(name={self.name}, id={self.id}, version={self.version}, tags={self.tags}, properties={self.properties})"


def _newest(name: str, version: Optional[int], tags: List[List[Optional[str]]], properties: List[List[Optional[str]]]) -> Dict[str, Any]:
    """Of the job's own models of this name the newest that fits, else the registry's."""

    def fits(model: Dict[str, Any]) -> bool:
        same = model["name"] == name and version in (None, model["version"])
        return same and _holds(model["tags"], tags) and _holds(model["properties"], properties)

    if own := [model for model in worker("surroundings").here().models if fits(model)]:
        return max(own, key=lambda model: int(model["version"]))
    return dict(_asked({"model": name, "version": version, "tags": tags, "properties": properties})[0])


_answered: Dict[str, List[Dict[str, Any]]] = {}


def _asked(question: Dict[str, Any]) -> List[Dict[str, Any]]:
    """What the node answers; what it has answered once it would answer again, unless that was nothing."""
    known = json.dumps(question, sort_keys=True)
    if _answered.get(known):
        return _answered[known]
    answer = worker("surroundings").here().ask(question)
    if "refused" in answer:
        raise ModelNotFoundException(answer["refused"])
    if "failed" in answer:  # it may be there all the same
        raise WebserviceException(answer["failed"])
    _answered[known] = answer["models"]
    return _answered[known]


def _folder(found: Dict[str, Any]) -> str:
    """What holds its files; of one that nobody has used yet the node is asked to bring it."""
    if "path" not in found:
        found["path"] = _asked({"model": found["name"], "version": found["version"], "tags": [], "properties": []})[0]["path"]
    return str(found["path"])


def _path(found: Dict[str, Any]) -> str:
    folder = _folder(found)
    names = os.listdir(folder)
    return os.path.join(folder, names[0]) if len(names) == 1 else folder


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        if os.path.isdir(target):
            shutil.rmtree(target)
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _pairs(tags: Tags) -> List[List[Optional[str]]]:
    """Names with the values that are asked of them, or None where any value does."""
    if tags is None:
        return []
    if isinstance(tags, str):
        return [[tags, None]]
    if isinstance(tags, Mapping):
        return [[str(name), str(value)] for name, value in tags.items()]
    named: List[Tuple[Any, Any]] = [(each, None) if isinstance(each, str) else (each[0], each[1]) for each in tags]
    return [[str(name), None if value is None else str(value)] for name, value in named]


def _holds(tags: Mapping[str, str], wanted: List[List[Optional[str]]]) -> bool:
    return all(name in tags and value in (None, tags[name]) for name, value in wanted if name is not None)


__all__ = ["Model"]
__getattr__ = names_of(__name__)
