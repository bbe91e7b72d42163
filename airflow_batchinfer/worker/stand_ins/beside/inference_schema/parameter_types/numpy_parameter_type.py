"""Arrays of numpy."""

from __future__ import annotations

from typing import Any

from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType


class NumpyParameterType(AbstractParameterType):
    """An array of the sample's type, and of its shape but for the first dimension."""

    def __init__(self, sample_input: Any, enforce_column_type: bool = True, enforce_shape: bool = True) -> None:  # noqa: FBT001, FBT002
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape

    def deserialize_input(self, input_data: Any) -> Any:
        import numpy

        if isinstance(input_data, numpy.ndarray):
            return input_data
        if not isinstance(input_data, list):
            raise ValueError(f"an array is expected, not {type(input_data).__name__}")
        rows: Any = [tuple(row) for row in input_data] if self.sample_input.dtype.names else input_data
        array = numpy.array(rows, dtype=self.sample_input.dtype if self.enforce_column_type else None)
        wanted = self.sample_input.shape
        if self.enforce_shape and (len(array.shape) != len(wanted) or array.shape[1:] != wanted[1:]):
            raise ValueError(f"an array of the shape {('n', *wanted[1:])} is expected, as in the sample, not {array.shape}")
        return array


__all__ = ["NumpyParameterType"]
