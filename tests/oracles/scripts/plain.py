"""Gives back what it got, or does what it is told to."""

import datetime
import json
import os
import time

import numpy as np
import pandas as pd

RESULTS = {
    "none": None,
    "text": "text, ä",
    "number": 1,
    "fraction": 0.1,
    "not a number": float("nan"),
    "true": True,
    "list": [1, "a", None],
    "tuple": (1, 2),
    "nothing": {},
    "nested": {"a": {"b": [{"c": 1}]}, "ä": "\U0001f600\n"},
    "numbers as keys": {1: "a", 2.5: "b", None: "c"},
    "bytes": b"bytes",
    "set": {1},
    "tuple as a key": {(1, 2): 3},
    "object": object(),
    "array": np.array([[1, 2], [3, 4]]),
    "number of numpy": {"best": np.float32(0.5), "at": np.int64(3)},
    "frame": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
    "date": datetime.date(2026, 11, 21),
    "large": "x" * (3 << 20),
}


def init():
    pass


def run(raw_data):
    told = json.loads(raw_data) if raw_data.startswith('{"do"') else {}
    match told.get("do"):
        case None:
            return {"got": raw_data}
        case "raise":
            raise ValueError("the password is in here")
        case "exit":
            raise SystemExit(7)
        case "wait":
            gate = told["with"]
            with open(f"{gate}-{os.getpid()}", "w"):
                pass
            deadline = time.monotonic() + 20
            while not os.path.exists(gate) and time.monotonic() < deadline:
                time.sleep(0.01)
            return "waited"
        case what:
            return RESULTS[what]
