"""Notes each item in STATE_DIR, waits at an item named gate until the file GATE exists, and ends each row with MARK."""

import os
import time
from pathlib import Path


def run(mini_batch):
    with Path(os.environ["STATE_DIR"], f"calls-{os.getpid()}").open("a") as calls:
        calls.writelines(f"{Path(item).name}\n" for item in mini_batch)
    while any("gate" in Path(item).name for item in mini_batch) and not Path(os.environ["GATE"]).exists():
        time.sleep(0.02)
    return [f"{file.name}: {file.stat().st_size} {os.environ['MARK']}" for file in map(Path, mini_batch)]
