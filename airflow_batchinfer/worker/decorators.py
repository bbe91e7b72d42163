"""What the decorators of a web service's script leave behind: Azure's own and our stand-ins leave the same.

`rawhttp` sets a flag in its module, whatever it stands on. What `input_schema` and `output_schema` were told of a function,
`inference_schema.schema_util` knows. Nothing is imported here that the script has not imported.
"""

from __future__ import annotations

import io
import json
import sys
from types import ModuleType
from typing import Any, Callable, Dict, Mapping, Optional
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

Schema = Dict[str, Any]
MakeRequest = Callable[[str, str, Mapping[str, str], bytes], Any]
_RAW = ("azureml.contrib.services.aml_request", "azureml_inference_server_http.api.aml_request")
_SCHEMAS = "inference_schema.schema_util"
_WITHOUT_PREFIX = ("CONTENT_TYPE", "CONTENT_LENGTH")


def raw_request() -> Optional[MakeRequest]:
    """How to make the request that a script with `rawhttp` wants; None of one without."""
    for name in _RAW:
        module = sys.modules.get(name)
        if getattr(module, "_rawHttpRequested", False):
            return _maker(module)
    return None


def schema_of(run: Callable[..., Any]) -> Optional[Schema]:
    """What callers send and get by the samples, and in which versions of OpenAPI that can be said; None without samples."""
    known: Any = sys.modules.get(_SCHEMAS)
    if known is None or not known.is_schema_decorated(run):
        return None
    found = {"input": known.get_input_schema(run), "output": known.get_output_schema(run), "versions": known.get_supported_versions(run)}
    try:
        kept: Schema = json.loads(json.dumps(found))
    except (TypeError, ValueError):  # a parameter type of the script's own may describe itself with anything
        return {}
    return kept


def _maker(module: Optional[ModuleType]) -> MakeRequest:
    """Azure's own has Flask's `Request`, and no way to make an `AMLRequest`."""
    original: Any = getattr(module, "Request", None)
    if original is None:
        ours: MakeRequest = module.AMLRequest  # type: ignore[union-attr]
        return ours
    return lambda method, url, headers, body: original(_environ(method, url, headers, body))


def _environ(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Dict[str, Any]:
    """The request as WSGI has it."""
    path, _, query = url.partition("?")
    told: Dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": url,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
    }
    for name, value in headers.items():
        variable = name.upper().replace("-", "_")
        told[variable if variable in _WITHOUT_PREFIX else f"HTTP_{variable}"] = value
    told["CONTENT_LENGTH"] = str(len(body))
    setup_testing_defaults(told)
    return told
