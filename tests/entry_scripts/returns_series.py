"""Returns a series of rows, its index not from 0."""

from pathlib import Path

import pandas


def run(mini_batch):
    rows = [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]
    return pandas.Series(rows, index=range(7, 7 + len(rows)))
