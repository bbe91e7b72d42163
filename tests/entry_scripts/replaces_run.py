"""Decorates run, and init replaces it: only what it is after init counts."""

import functools
from pathlib import Path


def marked(mark):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(mini_batch):
            return [f"{row} {mark}" for row in function(mini_batch)]

        return wrapper

    return decorate


@marked("decorated")
def run(mini_batch):
    return [f"{file.name}: {file.stat().st_size}" for file in map(Path, mini_batch)]


def init():
    global run
    run = marked("replaced")(run)
