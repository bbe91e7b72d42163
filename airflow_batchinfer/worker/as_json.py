"""JSON of what scripts return, numpy's values among it, without importing numpy: the script's environment may have none.

What knows how to become a list, a number or a text by itself does so; nothing else is guessed.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict


def encoded(value: Any) -> bytes:
    """The value as JSON; a TypeError says what cannot be."""
    try:
        text = json.dumps(value, default=_plain)
    except TypeError as error:
        if "keys must be" not in str(error):
            raise
        text = json.dumps(_with_plain_keys(value), default=_plain)
    return text.encode()


def _plain(value: Any) -> Any:
    if type(value).__name__ == "DataFrame" and hasattr(value, "to_dict"):
        return value.to_dict(orient="records")
    for name in ("tolist", "numpy", "isoformat"):
        become: Callable[[], Any] = getattr(value, name, None)  # type: ignore[assignment]
        if callable(become):
            found = become()
            if found is not value:
                return found
    raise TypeError(f"run() returned a {type(value).__name__}, which cannot be written as JSON; return lists, dicts, numbers or text")


def _with_plain_keys(value: Any) -> Any:
    """Keys that are numpy's numbers become Python's."""
    if isinstance(value, dict):
        found: Dict[Any, Any] = {}
        for key, kept in value.items():
            found[key if isinstance(key, (str, int, float)) or key is None else _plain(key)] = _with_plain_keys(kept)
        return found
    if isinstance(value, (list, tuple)):
        return [_with_plain_keys(kept) for kept in value]
    return value
