"""What all parameter types have in common: a sample."""

from __future__ import annotations

from typing import Any


class AbstractParameterType:
    """`deserialize_input` makes of parsed JSON what the sample is."""

    def __init__(self, sample_input: Any) -> None:
        self.sample_input = sample_input

    def deserialize_input(self, input_data: Any) -> Any:
        raise NotImplementedError(type(self).__name__)


__all__ = ["AbstractParameterType"]
