"""Reads address 0 on an item named poison, as a broken native library does."""

import ctypes
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        ctypes.string_at(0)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
