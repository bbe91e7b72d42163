"""Appends the name of each item to STATE_DIR/calls-<pid> before it scores it: how often was what run?"""

import os
from pathlib import Path


def run(mini_batch):
    with Path(os.environ["STATE_DIR"], f"calls-{os.getpid()}").open("a") as calls:
        calls.writelines(f"{Path(item).name}\n" for item in mini_batch)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
