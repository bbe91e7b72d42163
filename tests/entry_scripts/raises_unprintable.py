"""Raises, on an item named poison, what can neither be printed nor pickled."""

from pathlib import Path


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words for this")

    __repr__ = __str__


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        raise Unprintable(lambda: None)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
