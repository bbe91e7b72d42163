"""`input_schema` converts an argument of `run` to what its sample is; both decorators keep the samples with the function."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable

from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.schema_util import keep

Function = Callable[..., Any]


def input_schema(
    param_name: str,
    param_type: AbstractParameterType,
    convert_to_provided_type: bool = True,  # noqa: FBT001, FBT002 - as scripts call it
    optional: bool = False,  # noqa: FBT001, FBT002 - as above
) -> Callable[[Function], Function]:
    """For the argument of this name."""
    _check(param_type)

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        if param_name not in signature.parameters:
            raise ValueError(f"input_schema({param_name!r}): {function.__name__}{signature} has no such argument")

        @functools.wraps(function)
        def converting(*arguments: Any, **named: Any) -> Any:
            bound = signature.bind(*arguments, **named)
            given = bound.arguments.get(param_name)
            if convert_to_provided_type and not (optional and given is None):
                bound.arguments[param_name] = param_type.deserialize_input(given)
            return function(*bound.args, **bound.kwargs)

        keep(converting, input={param_name: param_type})
        return converting

    return decorate


def output_schema(output_type: AbstractParameterType) -> Callable[[Function], Function]:
    """For what is returned, which is not converted."""
    _check(output_type)

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def same(*arguments: Any, **named: Any) -> Any:
            return function(*arguments, **named)

        keep(same, output=output_type)
        return same

    return decorate


def _check(given: object) -> None:
    if not isinstance(given, AbstractParameterType):
        raise TypeError(f"{given!r}: give a parameter type, such as NumpyParameterType(sample)")


__all__ = ["input_schema", "output_schema"]
