"""`rawhttp` says that `run` wants the request itself, an `AMLRequest`."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Mapping, Optional, TypeVar, Union
from urllib.parse import parse_qsl, urlsplit

Function = TypeVar("Function", bound=Callable[..., Any])
_rawHttpRequested = False  # noqa: N816 - the original's name


class AMLRequest:
    """A request as a script reads it: method, address, headers, body."""

    def __init__(self, method: str = "POST", url: str = "/score", headers: Optional[Mapping[str, str]] = None, body: bytes = b"") -> None:
        parts = urlsplit(url)
        self.method = method
        self.url = url
        self.path = parts.path
        self.full_path = f"{parts.path}?{parts.query}"
        self.query_string = parts.query.encode()
        self.args: Dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            self.args.setdefault(name, value)
        self.headers = _Headers(headers or {})
        self.data = body

    @property
    def content_type(self) -> Optional[str]:
        found: Optional[str] = self.headers.get("Content-Type")
        return found

    @property
    def json(self) -> Any:
        return self.get_json()

    def get_data(self, cache: bool = True, as_text: bool = False) -> Union[bytes, str]:  # noqa: FBT001, FBT002 - as scripts call it
        del cache
        return self.data.decode() if as_text else self.data

    def get_json(self, force: bool = False, silent: bool = False) -> Any:  # noqa: FBT001, FBT002 - as above
        """The body as JSON; None if it is said to be something else, unless `force`, or if it is none, with `silent`."""
        if not force and "json" not in (self.content_type or ""):
            return None
        try:
            return json.loads(self.data)
        except ValueError:
            if silent:
                return None
            raise


class _Headers(Dict[str, str]):
    """By name, in whatever case it is written."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.title(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.title())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.title())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.title(), default)


def rawhttp(function: Function) -> Function:
    """Notes it for the whole process, as the original does: the function may be decorated further, and forget."""
    global _rawHttpRequested  # noqa: PLW0603 - by this name the worker finds it, here and in the original
    _rawHttpRequested = True
    return function


__all__ = ["AMLRequest", "rawhttp"]
