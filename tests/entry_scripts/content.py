"""Returns the SHA-256 of each item's content, so that a wrong or torn copy of an input shows."""

import hashlib
from pathlib import Path


def run(mini_batch):
    return [f"{file.name}: {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in map(Path, mini_batch)]
