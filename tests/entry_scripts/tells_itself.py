"""Answers with what its process was given."""

import os
import threading
from pathlib import Path


def init():
    pass


def run(raw_data):
    if raw_data == '"hold"':
        Path(os.environ["STATE_DIR"], "held").touch()
        while not Path(os.environ["STATE_DIR"], "gate").exists():
            threading.Event().wait(0.01)
    cores = sorted(os.sched_getaffinity(0))
    ours = sorted(name for name in os.environ if name.startswith("BATCHINFER_CORES"))
    return {"pid": os.getpid(), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"), "cores": cores, "left": ours}
