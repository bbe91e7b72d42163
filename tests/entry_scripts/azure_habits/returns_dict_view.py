"""Collects scores by file in a dict that is kept from call to call, and returns a view of those of this call."""

import os

seen = {}


def init():
    seen.clear()


def run(mini_batch):
    scores = {path: f"{os.path.basename(path)} scored" for path in mini_batch}
    seen.update(scores)
    return scores.values()
