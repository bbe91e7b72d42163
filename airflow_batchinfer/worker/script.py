"""The user's script: how it is found, what it finds, and which of its functions are called with what."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional


class MiniBatchContext:
    """What a script may take as the second argument of `run`."""

    def __init__(self, partition_key_value: Optional[Dict[str, str]] = None, dataset: Any = None) -> None:
        self.partition_key_value = partition_key_value or {}
        self.dataset = dataset


class Unusable(Exception):
    """The script can never work as it is; trying again is useless."""


class Script:
    """A loaded script. `run` is looked up at every call: scripts decorate it, or replace it in `init()`."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._run: Optional[Callable[..., Any]] = None
        self._takes_context = False

    def init(self) -> None:
        if hasattr(self._module, "init"):
            self._module.init()
        if not callable(getattr(self._module, "run", None)):
            raise Unusable(f"{os.path.basename(str(self._module.__file__))} has no function run(mini_batch)")

    def function(self, name: str) -> Optional[Callable[..., Any]]:
        """What the script has under this name now."""
        found = getattr(self._module, name, None)
        return found if callable(found) else None

    def run(self, mini_batch: Any, keys: Dict[str, str]) -> Any:
        run = self._module.run
        if run is not self._run:
            self._run, self._takes_context = run, _takes_two(run)
        return run(mini_batch, MiniBatchContext(keys)) if self._takes_context else run(mini_batch)

    def shutdown(self) -> None:
        if hasattr(self._module, "shutdown"):
            self._module.shutdown()


def load(path: str, source: str, arguments: List[str]) -> Script:
    """Import the script as a module of its file's name, with its folder and the source folder first on the path."""
    folder = os.path.dirname(path)
    sys.path[:0] = [source] if folder == source else [source, folder]
    sys.argv[:] = [path, *arguments]
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Unusable(f"{os.path.basename(path)} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return Script(module)


def _takes_two(run: Callable[..., Any]) -> bool:
    """Whether it takes a second argument; one that takes any number takes what the function it wraps takes."""
    try:
        kinds = [parameter.kind for parameter in inspect.signature(run, follow_wrapped=False).parameters.values()]
        if inspect.Parameter.VAR_POSITIONAL in kinds:
            kinds = [parameter.kind for parameter in inspect.signature(run).parameters.values()]
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(kind in positional for kind in kinds) > 1
