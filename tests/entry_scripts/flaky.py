"""Fails the first attempt of each item named poison, remembered in STATE_DIR, and succeeds with the next."""

import os
from pathlib import Path


def run(mini_batch):
    marks = [Path(os.environ["STATE_DIR"], Path(item).name) for item in mini_batch if "poison" in Path(item).name]
    unseen = [mark for mark in marks if not mark.exists()]
    for mark in unseen:
        mark.touch()
    if unseen:
        raise ConnectionError(f"the first attempt of {unseen[0].name}")
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
