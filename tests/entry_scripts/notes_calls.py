"""Notes "name time" of each item in STATE_DIR, takes SECONDS, and raises at an item named poison until STATE_DIR/mended exists."""

import os
import time
from pathlib import Path

STATE = Path(os.environ["STATE_DIR"])


def run(mini_batch):
    with (STATE / f"calls-{os.getpid()}").open("a") as calls:
        calls.writelines(f"{Path(item).name} {time.time()}\n" for item in mini_batch)
    time.sleep(float(os.environ.get("SECONDS", "0")))
    if any("poison" in Path(item).name for item in mini_batch) and not (STATE / "mended").exists():
        raise ValueError("poison")
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
