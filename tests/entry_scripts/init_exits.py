"""Leaves the process, with success, before it is ready."""

import os
from pathlib import Path


def init():
    os._exit(0)


def run(mini_batch):
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
