"""Takes arrays and frames."""

import numpy as np
import pandas as pd
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

PEOPLE = np.array([("a", 1, 0.5)], dtype=[("name", "U8"), ("age", "i4"), ("share", "f4")])
FRAME = pd.DataFrame({"store": ["a", "b"], "price": [1.5, 2.0], "count": [1, 2]})


def init():
    pass


@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])), optional=True)
@input_schema("whole", NumpyParameterType(np.array([1, 2], dtype="int32")), optional=True)
@input_schema("free", NumpyParameterType(np.array([1.0]), enforce_column_type=False, enforce_shape=False), optional=True)
@input_schema("people", NumpyParameterType(PEOPLE), optional=True)
@input_schema("frame", PandasParameterType(FRAME), optional=True)
@input_schema("split", PandasParameterType(FRAME, orient="split"), optional=True)
@input_schema("nested", StandardPythonParameterType({"inner": NumpyParameterType(np.array([True]))}), optional=True)
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data=None, whole=None, free=None, people=None, frame=None, split=None, nested=None):
    arrays = [data, whole, free, people, nested and nested["inner"]]
    frames = [frame, split]
    return {
        "arrays": [None if one is None else [one.tolist(), str(one.dtype)] for one in arrays],
        "frames": [None if one is None else [one.to_dict("list"), list(map(str, one.dtypes))] for one in frames],
    }
