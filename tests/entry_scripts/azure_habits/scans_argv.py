"""Looks for the framework's own arguments by hand."""

import logging
import os
import sys


def argument(name):
    return sys.argv[sys.argv.index(name) + 1]


def init():
    global log
    log = logging.getLogger("scans_argv")
    log.setLevel(getattr(logging, argument("--logging_level")))


def run(mini_batch):
    log.info("scoring %d of at most %s files", len(mini_batch), argument("--mini_batch_size"))
    return [f"{os.path.basename(path)} at {logging.getLevelName(log.level)}" for path in mini_batch]
