"""Where a script finds the names of Azure ML's SDK: the real ones if they are installed, else stand-ins of ours, or none.

The stand-ins lie in two folders that come last on `sys.path`, so whatever is installed, or lies beside the script, goes first.
Of the SDK itself it is all or nothing: where `azureml.core` is installed nothing of ours stands beside it but
`azureml.contrib.services`, which Azure's server brings along too. Names of it that no
stand-in serves can be imported and raise when they are used, so a script may import what it never uses.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, List, Optional, Sequence

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stand_ins")
SDK = os.path.join(_FOLDER, "sdk")
BESIDE = os.path.join(_FOLDER, "beside")
_TOP = ("azureml", "azureml_inference_server_http", "azureml_user", "entry_script", "inference_schema")


def serve_names(switch: str, script_folders: List[str]) -> None:
    """Arrange for it: `auto` where the SDK is missing, `true` instead of what is installed, `false` not at all."""
    if switch == "false":
        return
    forced = switch == "true"
    if forced or not _sdk_is_installed([*script_folders, *sys.path]):
        sys.path.append(SDK)
        sys.meta_path.append(_Unserved())
    else:
        sys.meta_path.insert(0, _Warning())
        sys.meta_path.append(_Services())
    sys.path.append(BESIDE)
    if forced:
        sys.meta_path.insert(0, _Forced([*script_folders, SDK, BESIDE]))


def _sdk_is_installed(folders: List[str]) -> bool:
    """Looked for without importing anything: once imported, the package would never see our folder."""
    return any(os.path.isdir(os.path.join(entry, "azureml", "core")) for entry in folders)


class _Forced(MetaPathFinder):
    """Finds the stand-ins before what is installed, but not before the script's own modules."""

    def __init__(self, folders: List[str]) -> None:
        self._folders = folders

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        del path, target
        if name not in _TOP:
            return None
        return _only_in(self._folders, name)


class _Services(MetaPathFinder):
    """Comes last: what a script of a web service imports, and the SDK itself does not have."""

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        del path, target
        if name != "azureml.contrib" and not name.startswith("azureml.contrib.services"):
            return None
        return _only_in([os.path.join(SDK, *name.split(".")[:-1])], name)


def _only_in(folders: List[str], name: str) -> Optional[ModuleSpec]:
    found = PathFinder.find_spec(name, folders)
    if found is None or found.loader is not None:
        return found
    fixed = ModuleSpec(name, None, is_package=True)  # the folders as they are: looked up anew, what is installed would join them
    fixed.submodule_search_locations = list(found.submodule_search_locations or [])
    return fixed


class _Warning(MetaPathFinder):
    """Finds nothing; says once what a script gets that imports the SDK which is installed: most who list it do not need it."""

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None) -> None:
        del path, target
        if name == "azureml.core":
            sys.meta_path.remove(self)
            print(
                "the script imports azureml.core, which is installed in its environment: that is Azure's own, and finds no model and no "
                "run here. Take azureml-core and azureml-defaults out of the environment, or say azureml_compat=True.",
                file=sys.stderr,
            )


class _Unserved(MetaPathFinder, Loader):
    """Comes last: any further module of the SDK is there, and each name in it raises when it is used."""

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        del path, target
        return ModuleSpec(name, self, is_package=True) if name.startswith("azureml.") else None

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        del spec
        return None

    def exec_module(self, module: ModuleType) -> None:
        unserved: Any = importlib.import_module("_batchinfer_unserved")
        module.__getattr__ = unserved.names_of(module.__name__)  # type: ignore[method-assign]
