"""Catches what goes wrong with each file, and leaves that file out."""

import os


def run(mini_batch):
    results = []
    for path in mini_batch:
        try:
            results.append(f"{os.path.basename(path)} {10 // (os.path.getsize(path) - 3)}")
        except ZeroDivisionError:
            pass
    return results
