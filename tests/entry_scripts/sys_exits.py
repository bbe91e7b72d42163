"""Calls sys.exit on an item named poison, as scripts written for a command line do."""

import sys
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        sys.exit(42)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
