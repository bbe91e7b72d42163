"""Closes every file it did not open on an item named poison, as libraries that make daemons do."""

import os
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        os.closerange(3, 256)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
