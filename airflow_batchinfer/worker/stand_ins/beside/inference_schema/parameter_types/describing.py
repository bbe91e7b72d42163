"""A sample in OpenAPI's words: its type, and itself as the example."""

from __future__ import annotations

import base64
import datetime
from typing import Any, Dict

from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType

_KINDS: Dict[type, Dict[str, str]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": "int64"},
    float: {"type": "number", "format": "double"},
    str: {"type": "string"},
    bytes: {"type": "string", "format": "byte"},
    bytearray: {"type": "string", "format": "byte"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.time: {"type": "string", "format": "time"},
}
_TIMES = {datetime.datetime: "%Y-%m-%d %H:%M:%S.%f %z", datetime.time: "%H:%M:%S.%f %z"}


def described(sample: Any) -> Dict[str, Any]:
    """Of a list the last item counts for all."""
    if isinstance(sample, AbstractParameterType):
        return sample.input_to_swagger()
    if isinstance(sample, dict):
        inner = {name: described(value) for name, value in sample.items()}
        example = {name: schema.pop("example") for name, schema in inner.items()}
        return {"type": "object", "required": list(sample), "properties": inner, "example": example}
    if isinstance(sample, (list, tuple, range)):
        items = [described(value) for value in sample]
        examples = [schema.pop("example") for schema in items]
        return {"type": "array", "items": items[-1] if items else {"type": "object"}, "example": examples}
    return {**_KINDS.get(type(sample), {"type": "object"}), "example": _example(sample)}


def _example(sample: Any) -> Any:
    if isinstance(sample, (bytes, bytearray)):
        return base64.b64encode(sample).decode()
    if type(sample) in _TIMES:
        return (sample if sample.tzinfo else sample.replace(tzinfo=datetime.timezone.utc)).strftime(_TIMES[type(sample)])
    return sample.isoformat() if isinstance(sample, datetime.date) else sample


__all__ = ["described"]
