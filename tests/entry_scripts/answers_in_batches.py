"""Answers several requests at once, each with how many they were; the first waits until all have come."""

import os
import time
from pathlib import Path


def init():
    pass


def run_batch(texts):
    if "wait" in texts:
        Path(os.environ["STATE_DIR"], "waiting").touch()
        while not Path(os.environ["STATE_DIR"], "gate").exists():
            time.sleep(0.005)
    return [len(texts) for _ in texts]
