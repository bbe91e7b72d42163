"""Hangs on an item named poison."""

import time
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        while True:
            time.sleep(3600)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
