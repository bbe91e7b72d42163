"""Yields its rows and raises at an item named poison, when the rows before it are already out."""

from pathlib import Path


def run(mini_batch):
    for file in map(Path, mini_batch):
        if "poison" in file.name:
            raise ValueError(f"poison at {file.name}")
        yield f"{file.name}: {file.stat().st_size}"
