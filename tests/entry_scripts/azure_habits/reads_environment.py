"""Reads a threshold from an environment variable of the configuration, with a default."""

import os

THRESHOLD = float(os.environ.get("WEIGHT_THRESHOLD", "0"))


def run(mini_batch):
    return [f"{os.path.basename(path)} {'heavy' if os.path.getsize(path) > THRESHOLD else 'light'}" for path in mini_batch]
