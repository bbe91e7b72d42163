"""Raises on an item named poison."""

from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        raise ValueError(f"poison among {len(mini_batch)} items")
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
