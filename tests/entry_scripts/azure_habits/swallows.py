"""Catches whatever goes wrong, prints it and returns nothing at all."""

import os


def scored(path):
    if os.path.basename(path) == "ide":
        raise ValueError(f"cannot decode {os.path.basename(path)}")
    return f"{os.path.basename(path)} ok"


def run(mini_batch):
    try:
        return [scored(path) for path in mini_batch]
    except Exception as error:
        print("skipped a batch:", error)
