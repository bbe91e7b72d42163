"""Returns None for a mini-batch with an item named poison, as scripts that swallow an exception do."""

from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        return None
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
