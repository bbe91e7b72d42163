"""Answers requests, and does what they say: {"do": "echo"}."""

import ctypes
import json
import os
import time
from pathlib import Path


def init():
    print("model loaded")
    gate = os.environ.get("INIT_GATE")
    while gate and not Path(gate).exists():
        time.sleep(0.01)


def wait(path):
    Path(f"{path}-{os.getpid()}-{time.monotonic_ns()}").touch()
    while not Path(path).exists():
        time.sleep(0.005)
    return "waited"


def die_once(path):
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return "survived"
    os._exit(9)


def write_to_everything(_):
    for descriptor in range(3, 30):
        try:
            os.write(descriptor, b"\xff" * 100)
        except OSError:
            continue
    time.sleep(3600)


def numbers(_):
    import numpy as np

    return {"digits": np.array([1, 2]), "best": np.float32(0.5)}


def run(raw_data):
    try:
        asked = json.loads(raw_data)
    except ValueError:
        return {"text": raw_data}
    do = {
        "echo": lambda value: asked,
        "pid": lambda _: os.getpid(),
        "none": lambda _: None,
        "text": lambda _: "text",
        "numbers": numbers,
        "raise": lambda _: 1 / 0,
        "object": lambda _: object(),
        "exit": lambda _: os._exit(7),
        "segfault": lambda _: ctypes.string_at(0),
        "junk": write_to_everything,
        "hang": lambda _: time.sleep(3600),
        "wait": wait,
        "die once": die_once,
        "model": lambda _: sorted(path.name for path in Path(os.environ["AZUREML_MODEL_DIR"]).iterdir()),
        "print": lambda _: [print("x" * 1000) for _ in range(2000)] and None,
    }[asked.get("do", "echo") if isinstance(asked, dict) else "echo"]
    return do(asked.get("with") if isinstance(asked, dict) else None)
