"""Never gets ready."""

import time
from pathlib import Path


def init():
    while True:
        time.sleep(3600)


def run(mini_batch):
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
