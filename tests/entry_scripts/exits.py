"""Leaves the process at once, and with success, on an item named poison."""

import os
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        os._exit(0)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
