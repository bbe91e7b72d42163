"""Is killed on an item named poison, as the kernel does when memory runs out."""

import os
import signal
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        os.kill(os.getpid(), signal.SIGKILL)
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
