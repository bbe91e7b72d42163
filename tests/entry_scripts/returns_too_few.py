"""Returns no row for an item named poison."""

from pathlib import Path


def run(mini_batch):
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch) if "poison" not in file.name]
