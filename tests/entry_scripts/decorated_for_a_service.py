"""A script as a web service has it: decorated, and called here with what JSON would give."""

import json

import numpy as np
import pandas as pd
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.schema_util import get_input_schema, get_output_schema, is_schema_decorated

FRAME = pd.DataFrame({"a": [1.0], "b": ["x"]})


@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("frame", PandasParameterType(FRAME))
@input_schema("params", StandardPythonParameterType({"rate": 0.5, "inner": NumpyParameterType(np.array([1]))}), optional=True)
@output_schema(StandardPythonParameterType([1.0]))
def score(data, frame, params=None):
    return [
        data.tolist(),
        str(data.dtype),
        frame.to_dict("list"),
        str(frame["a"].dtype),
        params and [params["rate"], params["inner"].sum()],
    ]


@rawhttp
def answer(request):
    return AMLResponse(
        {"got": request.get_json(), "q": request.args["q"], "h": request.headers["x-kind"]}, 202, {"X-More": "1"}, json_str=True
    )


def complaint(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def run(mini_batch):
    response = answer(AMLRequest("POST", "/score?q=1&q=2", {"content-type": "application/json", "X-Kind": "k"}, b'{"a": 1}'))
    found = {
        "score": score([[1, 2], [3, 4]], [{"a": 1, "b": "y"}], params={"rate": 1, "inner": [2, 3]}),
        "as they are": score(np.zeros((1, 2)), FRAME)[1:],
        "shape": complaint(lambda: score([[1, 2, 3]], FRAME)),
        "type": complaint(lambda: score("text", FRAME)),
        "columns": complaint(lambda: score([[1, 2]], [{"a": 1}])),
        "params": complaint(lambda: score([[1, 2]], FRAME, {"inner": "much"})),
        "name": complaint(lambda: input_schema("other", NumpyParameterType(np.zeros(1)))(lambda data: data)),
        "schema": [is_schema_decorated(score), *get_input_schema(score)["properties"], get_output_schema(score)["type"]],
        "raw": [is_schema_decorated(answer), response.status_code, json.loads(response.data), response.headers],
    }
    return [json.dumps(found, default=str)] * len(mini_batch)
