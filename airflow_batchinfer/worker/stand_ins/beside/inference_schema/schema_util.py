"""What the decorators were told of a function: a server asks here, by the original's names."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, List

_ATTRIBUTE = "_inference_schema"
_ALL_VERSIONS = ("2.0", "3.0", "3.1")


def is_schema_decorated(func: Callable[..., Any]) -> bool:
    return hasattr(func, _ATTRIBUTE)


def get_input_schema(func: Callable[..., Any]) -> Dict[str, Any]:
    """An object with a property for each argument; those without a sample may be anything."""
    kept = _kept(func)["input"]
    if not kept:
        return {"type": "object"}
    found: Dict[str, Any] = {"type": "object", "properties": {}, "example": {}}
    for name in inspect.signature(func).parameters:
        schema = kept[name].input_to_swagger() if name in kept else {"example": ""}
        found["example"][name] = schema.pop("example")
        found["properties"][name] = schema
    return found


def get_output_schema(func: Callable[..., Any]) -> Dict[str, Any]:
    kind = _kept(func)["output"]
    found: Dict[str, Any] = kind.input_to_swagger() if kind else {"type": "object"}
    return found


def get_supported_versions(func: Callable[..., Any]) -> List[str]:
    """Those in which all samples can be described."""
    kept = _kept(func)
    kinds = [*kept["input"].values(), *([kept["output"]] if kept["output"] else [])]
    return [version for version in _ALL_VERSIONS if all(version in kind.supported_versions() for kind in kinds)]


def keep(func: Any, **told: Any) -> None:
    """One more thing that a decorator was told; the function that is decorated keeps what it had."""
    kept = _kept(func)
    setattr(func, _ATTRIBUTE, {"input": {**kept["input"], **told.get("input", {})}, "output": told.get("output", kept["output"])})


def _kept(func: Any) -> Dict[str, Any]:
    found: Dict[str, Any] = getattr(func, _ATTRIBUTE, {"input": {}, "output": None})
    return found


__all__ = ["get_input_schema", "get_output_schema", "get_supported_versions", "is_schema_decorated", "keep"]
