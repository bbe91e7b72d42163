"""Prints PRINT_BYTES (default: a gigabyte) in lines on an item named poison, then returns its rows."""

import os
import sys
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        lines = ("x" * 99 + "\n") * 10_000
        for _ in range(0, int(os.environ.get("PRINT_BYTES", "1_000_000_000")), len(lines)):
            sys.stdout.write(lines)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
