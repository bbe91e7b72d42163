"""Returns a string, which is an iterable of letters, for a mini-batch with an item named poison."""

from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        return "done"
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
