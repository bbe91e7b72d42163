"""What a `run` that is marked with `rawhttp` may return."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Optional


class AMLResponse:
    """A status, headers, and a body: the message as it is, or as JSON."""

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Optional[Mapping[str, str]] = None,
        json_str: bool = False,  # noqa: FBT001, FBT002 - as scripts call it
        run_function_failed: bool = False,  # noqa: FBT001, FBT002 - as above
    ) -> None:
        is_json = json_str or message is None
        body = json.dumps({} if message is None else message) if is_json else message
        self.status_code = int(status_code)
        self.data: bytes = body.encode() if isinstance(body, str) else bytes(body)
        self.headers: Dict[str, str] = {"Content-Type": "application/json" if is_json else "text/html; charset=utf-8"}
        self.headers["x-ms-run-function-failed"] = str(run_function_failed)
        for name, value in (response_headers or {}).items():
            self.headers = {**{known: kept for known, kept in self.headers.items() if known.lower() != name.lower()}, name: value}


__all__ = ["AMLResponse"]
