"""Its sample is a list of several types, which the second version of OpenAPI cannot describe. It wants the headers too."""

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema


def init():
    pass


@input_schema("row", StandardPythonParameterType([1, "a"]))
def run(row, request_headers):
    return [row, request_headers["X-Kind"]]
