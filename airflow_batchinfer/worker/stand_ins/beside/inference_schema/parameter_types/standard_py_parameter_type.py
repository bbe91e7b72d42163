"""Numbers, text, times, lists and dicts; parameter types within them are followed."""

from __future__ import annotations

import base64
import datetime
from typing import Any, Dict

from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.describing import described


class StandardPythonParameterType(AbstractParameterType):
    """The value itself, of the sample's type; a list's or a dict's items are looked at where the sample has parameter types."""

    def deserialize_input(self, input_data: Any) -> Any:
        sample = self.sample_input
        if isinstance(sample, dict) and isinstance(input_data, dict):
            kinds = {name: kind for name, kind in sample.items() if isinstance(kind, AbstractParameterType)}
            return {name: kinds[name].deserialize_input(value) if name in kinds else value for name, value in input_data.items()}
        if isinstance(sample, (list, tuple)) and isinstance(input_data, (list, tuple)):
            kind = next((one for one in sample if isinstance(one, AbstractParameterType)), None)
            return [kind.deserialize_input(value) for value in input_data] if kind else input_data
        given = _parsed(type(sample), input_data)
        is_whole = isinstance(sample, float) and isinstance(given, int)
        if not is_whole and not isinstance(given, type(sample)):
            raise ValueError(f"{type(sample).__name__} is expected, as in the sample, not {type(given).__name__}")
        return given

    def input_to_swagger(self) -> Dict[str, Any]:
        if self.sample_input is None:
            raise ValueError("a sample must not be None")
        return described(self.sample_input)


def _parsed(kind: type, given: Any) -> Any:
    """What JSON has only as text."""
    if not isinstance(given, str):
        return given
    if kind in (bytes, bytearray):
        return kind(base64.b64decode(given))
    if kind in (datetime.datetime, datetime.date, datetime.time):
        return kind.fromisoformat(given)
    return given


__all__ = ["StandardPythonParameterType"]
