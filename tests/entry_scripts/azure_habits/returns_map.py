"""Returns what map gives, so that nothing has been done when run() is over."""

import os


def weigh(path):
    return f"{os.path.basename(path)},{os.path.getsize(path) * 10}"


def init():
    global weigh_one
    weigh_one = weigh


def run(mini_batch):
    return map(weigh_one, mini_batch)
