"""Returns the raw output of a model: a two-dimensional array with a row for each file."""

import os

import numpy as np


def run(mini_batch):
    sizes = np.array([os.path.getsize(path) for path in mini_batch])
    return np.stack([sizes, sizes**2], axis=1)
