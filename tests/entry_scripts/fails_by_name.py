"""Notes in STATE_DIR how many items a call has; raises what an item's name says, key or value; gives no row for one named short."""

import os
from pathlib import Path


def run(mini_batch):
    files = [Path(item) for item in mini_batch]
    with Path(os.environ["STATE_DIR"], f"calls-{os.getpid()}").open("a") as calls:
        calls.write(f"{len(files)}\n")
    for file in files:
        if "key" in file.name:
            raise KeyError(file.name)
        if "value" in file.name:
            raise ValueError(file.name)
    return [f"{file.name}: {file.stat().st_size}" for file in files if "short" not in file.name]
