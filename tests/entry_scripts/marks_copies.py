"""Marks each item beside it, raises at one named poison, and tells how often this very copy was seen."""

from pathlib import Path


def run(mini_batch):
    marks = [Path(f"{item}.seen") for item in mini_batch]
    for mark in marks:
        with mark.open("a") as seen:
            seen.write("x")
    if any("poison" in item for item in mini_batch):
        raise ValueError("poison")
    return [f"{mark.stem}: {mark.stat().st_size}" for mark in marks]
