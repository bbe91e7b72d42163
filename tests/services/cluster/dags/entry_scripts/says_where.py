"""Answers with the machine that it runs on and what its model holds."""

import os
import socket
from pathlib import Path


def init():
    global shift
    [model] = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("shift")
    shift = int(model.read_text())


def run(raw_data):
    return {"machine": socket.gethostname(), "shift": shift}
