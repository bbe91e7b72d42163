"""Logs through the framework's EntryScript."""

import os

from azureml_user.parallel_run import EntryScript


def init():
    logger = EntryScript().logger
    logger.info("init() of %s", os.path.basename(__file__))


def run(mini_batch):
    logger = EntryScript().logger
    logger.info("scoring %d files", len(mini_batch))
    return [os.path.basename(path) for path in mini_batch]
