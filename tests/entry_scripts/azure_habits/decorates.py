"""Times run with a decorator that takes anything and hides the signature."""

import os
import time

elapsed = []


def timed(function):
    def wrapper(*args, **kwargs):
        begin = time.time()
        try:
            return function(*args, **kwargs)
        finally:
            elapsed.append(time.time() - begin)

    return wrapper


@timed
def run(mini_batch):
    return [f"{os.path.basename(path)} after {len(elapsed)} calls" for path in mini_batch]
