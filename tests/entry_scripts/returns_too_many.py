"""Returns one more row than it has items when one of them is named poison."""

from pathlib import Path


def run(mini_batch):
    rows = [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
    return [*rows, "one more"] if any("poison" in Path(item).name for item in mini_batch) else rows
