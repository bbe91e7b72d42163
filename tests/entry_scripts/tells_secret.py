"""Prints API_KEY and TOKEN, and raises with both at an item named poison."""

import os
from pathlib import Path


def run(mini_batch):
    secrets = f"the key is {os.environ['API_KEY']} and the token {os.environ['TOKEN']}"
    print(secrets)
    if any("poison" in Path(item).name for item in mini_batch):
        raise ValueError(secrets)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
