"""Returns a list of numpy's scalars, the half of each item's size."""

from pathlib import Path

import numpy


def run(mini_batch):
    return [numpy.float32(Path(item).stat().st_size) / 2 for item in mini_batch]
