"""Answers many at once; one text ends the process, and one never comes back. The first request waits until all others have come."""

import os
import threading
from pathlib import Path

FOLDER = Path(os.environ["STATE_DIR"])


def init():
    pass


def run_batch(texts):
    if '"wait"' in texts:
        (FOLDER / "waiting").touch()
        while not (FOLDER / "gate").exists():
            threading.Event().wait(0.005)
    if '"poison"' in texts:
        os._exit(9)
    if '"hang"' in texts:
        threading.Event().wait()
    return [len(texts) for _ in texts]
