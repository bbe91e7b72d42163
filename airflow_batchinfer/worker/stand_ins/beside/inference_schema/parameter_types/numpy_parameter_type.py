"""Arrays of numpy."""

from __future__ import annotations

from typing import Any, Dict

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
        names = self.sample_input.dtype.names
        rows: Any = [_row(names, row) for row in input_data] if names else input_data
        array = numpy.array(rows, dtype=self.sample_input.dtype if self.enforce_column_type else None)
        wanted = self.sample_input.shape
        if self.enforce_shape and (len(array.shape) != len(wanted) or array.shape[1:] != wanted[1:]):
            raise ValueError(f"an array of the shape {('n', *wanted[1:])} is expected, as in the sample, not {array.shape}")
        return array

    def input_to_swagger(self) -> Dict[str, Any]:
        schema = _described(self.sample_input.dtype)
        for _ in self.sample_input.shape:
            schema = {"type": "array", "items": schema}
        return {**schema, "format": "numpy.ndarray", "example": _example(self.sample_input)}


def _row(names: Any, row: Any) -> Any:
    return tuple(row[name] for name in names) if isinstance(row, dict) else tuple(row)


def _described(kind: Any) -> Dict[str, Any]:
    """Numpy's type in OpenAPI's words."""
    if kind.names:
        return {"type": "object", "properties": {name: _described(kind[name]) for name in kind.names}}
    if kind.kind in "iu":
        return {"type": "integer", "format": kind.name}
    if kind.kind == "f":
        return {"type": "number", "format": "float" if kind.name in ("float16", "float32") else "double"}
    if kind.kind in "mM":
        return {"type": "string", "format": "timedelta" if kind.kind == "m" else "date-time"}
    return {"b": {"type": "boolean"}, "U": {"type": "string"}, "S": {"type": "string", "format": "binary"}}.get(
        kind.kind, {"type": "object"}
    )


def _example(array: Any) -> Any:
    if array.dtype.names:
        return [{name: _example(row[name]) for name in array.dtype.names} for row in array]
    if array.dtype.kind in "biufU":
        return array.tolist()
    return array.astype(str).tolist()


__all__ = ["NumpyParameterType"]
