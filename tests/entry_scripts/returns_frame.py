"""Returns a frame with a row per item: text with spaces and quotes, and the size."""

from pathlib import Path

import pandas


def run(mini_batch):
    files = [Path(item) for item in mini_batch]
    return pandas.DataFrame(
        {
            "text": [f'the "{file.name}" of today' for file in files],
            "size": [file.stat().st_size for file in files],
        }
    )
