"""What all parameter types have in common: a sample."""

from __future__ import annotations

from typing import Any, Dict, List


class AbstractParameterType:
    """`deserialize_input` makes of parsed JSON what the sample is, `input_to_swagger` describes it in OpenAPI's words."""

    def __init__(self, sample_input: Any) -> None:
        self.sample_input = sample_input

    def deserialize_input(self, input_data: Any) -> Any:
        raise NotImplementedError(type(self).__name__)

    def input_to_swagger(self) -> Dict[str, Any]:
        raise NotImplementedError(type(self).__name__)

    def supported_versions(self) -> List[str]:
        """The second version of OpenAPI has no lists of several types."""
        return ["2.0", "3.0", "3.1"] if _is_uniform(self.input_to_swagger()["example"]) else ["3.0", "3.1"]


def _is_uniform(example: Any) -> bool:
    if isinstance(example, dict):
        return all(_is_uniform(value) for value in example.values())
    if not isinstance(example, list):
        return True
    first = type(example[0]) if example else None
    return all(type(value) is first and (first is not list or _is_uniform(value)) for value in example)


__all__ = ["AbstractParameterType"]
