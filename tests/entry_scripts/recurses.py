"""Recurses without end on an item named poison, which Python stops."""

from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        return run(mini_batch)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
