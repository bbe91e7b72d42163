"""Returns a number for a mini-batch with an item named poison."""

from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        return len(mini_batch)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
