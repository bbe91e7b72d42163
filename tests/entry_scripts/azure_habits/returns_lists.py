"""Returns a list of lists: file, size, and what is missing."""

import os


def run(mini_batch):
    return [[os.path.basename(path), os.path.getsize(path), None] for path in mini_batch]
