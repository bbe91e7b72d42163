"""Closes standard output and error on an item named poison, prints all the same, and returns its rows."""

import contextlib
import os
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        os.closerange(1, 3)
        with contextlib.suppress(OSError):
            print("nobody can read this", flush=True)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
