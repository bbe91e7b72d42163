"""Leaves two children, pids in PID_DIR, on an item named poison; then hangs, dies or returns, as THEN says."""

import os
import subprocess
import time
from pathlib import Path


def run(mini_batch):
    if any("poison" in Path(item).name for item in mini_batch):
        children = [subprocess.Popen(["sleep", "3600"]).pid, os.fork()]
        while children[-1] == 0:
            time.sleep(3600)
        for pid in children:
            Path(os.environ["PID_DIR"], str(pid)).touch()
        {"hangs": lambda: time.sleep(3600), "dies": os.abort, "returns": lambda: None}[os.environ["THEN"]]()
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
