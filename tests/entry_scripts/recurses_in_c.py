"""Overflows the C stack on an item named poison, which nothing stops: the process dies."""

import threading
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        nested = []
        for _ in range(100_000):
            nested = [nested]
        threading.stack_size(64 * 1024)
        thread = threading.Thread(target=repr, args=[nested])
        thread.start()
        thread.join()
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
