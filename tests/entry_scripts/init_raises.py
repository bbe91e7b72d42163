"""Cannot find its model."""

from pathlib import Path


def init():
    raise FileNotFoundError("model.h5 is not here")


def run(mini_batch):
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
