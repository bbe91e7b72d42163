"""What scripts return, as JSON."""

import datetime
import json

import numpy as np
import pandas as pd
import pytest

from airflow_batchinfer.worker.as_json import encoded

SAME = [1, "text", None, True, [1, 2], {"a": {"b": [None]}}, 0.5]


@pytest.mark.parametrize("value", SAME)
def test_plain_values_are_as_json_writes_them(value: object):
    assert encoded(value) == json.dumps(value).encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ({"probabilities": np.array([0.25, 0.5], dtype="float32"), "digit": np.int64(7)}, {"probabilities": [0.25, 0.5], "digit": 7}),
        ([np.float32(0.5), np.bool_(True)], [0.5, True]),
        ({np.int64(3): 1}, {"3": 1}),
        (pd.DataFrame({"a": [1, 2]}), [{"a": 1}, {"a": 2}]),
        (pd.Series([1, 2]), [1, 2]),
        (datetime.date(2026, 11, 21), "2026-11-21"),
    ],
    ids=["array", "dict", "scalars", "key", "frame", "series", "date"],
)
def test_values_of_numpy_and_pandas_become_plain(value: object, expected: object):
    assert json.loads(encoded(value)) == expected


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", [object()], {(1, 2): 3}], ids=["object", "set", "bytes", "within a list", "tuple as a key"]
)
def test_what_cannot_be_json_says_what_it_is(value: object):
    with pytest.raises(TypeError, match=r"returned a (object|set|bytes|tuple), which cannot be written as JSON"):
        encoded(value)
