"""Raises only if items named left and right are in one mini-batch."""

from pathlib import Path


def run(mini_batch):
    names = " ".join(Path(item).name for item in mini_batch)
    if "left" in names and "right" in names:
        raise ValueError("left and right together")
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
