"""Numbers, text, lists and dicts; parameter types within them are followed."""

from __future__ import annotations

from typing import Any

from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType


class StandardPythonParameterType(AbstractParameterType):
    """The value itself, of the sample's type."""

    def deserialize_input(self, input_data: Any) -> Any:
        return _converted(self.sample_input, input_data)


def _converted(sample: Any, given: Any) -> Any:
    if isinstance(sample, AbstractParameterType):
        return sample.deserialize_input(given)
    if isinstance(sample, dict) and isinstance(given, dict):
        return {name: _converted(sample[name], value) if name in sample else value for name, value in given.items()}
    if isinstance(sample, float) and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if sample is not None and not isinstance(given, type(sample)):
        raise ValueError(f"{type(sample).__name__} is expected, as in the sample, not {type(given).__name__}")
    return given


__all__ = ["StandardPythonParameterType"]
