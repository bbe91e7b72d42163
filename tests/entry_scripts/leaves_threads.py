"""Leaves a thread that never ends and that the interpreter waits for when it exits."""

import threading
from pathlib import Path


def init():
    threading.Thread(target=threading.Event().wait, daemon=False).start()


def run(mini_batch):
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
