"""Prints one line of PRINT_BYTES (default: 100 MB) on an item named poison, then returns its rows."""

import os
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        print("x" * int(os.environ.get("PRINT_BYTES", "100_000_000")))
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
