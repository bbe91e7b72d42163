"""Leaves a daemon that has cut itself loose (setsid), pid in PID_DIR, on an item named poison; then segfaults."""

import ctypes
import os
import time
from pathlib import Path


def leave_daemon():
    if child := os.fork():
        return os.waitpid(child, 0)
    os.setsid()
    if daemon := os.fork():
        Path(os.environ["PID_DIR"], str(daemon)).touch()
        os._exit(0)
    while True:
        time.sleep(3600)


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        leave_daemon()
        ctypes.string_at(0)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
