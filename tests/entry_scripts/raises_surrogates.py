"""Raises, on an item named poison, a message that no encoding can write."""

from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        raise ValueError("a name that is not UTF-8: caf\udce9, and half a pair: \ud83d")
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
