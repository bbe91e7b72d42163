"""Prints, logs through a logger of its own with a handler of its own, and writes to stderr."""

import logging
import os
import sys

logger = logging.getLogger(__name__)
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
logger.addHandler(handler)
logger.setLevel(logging.DEBUG)
logger.propagate = False


def init():
    print("Start to init", flush=True)


def run(mini_batch):
    logger.debug("run method start: %s, run(%d files)", os.path.basename(__file__), len(mini_batch))
    sys.stderr.write("no newline at the end")
    return [os.path.basename(path) for path in mini_batch]


def shutdown():
    print("shut down")
