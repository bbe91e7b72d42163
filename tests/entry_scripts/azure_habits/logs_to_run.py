"""Logs metrics to its run, if it has one."""

import os

from azureml.core import Run

run_context = Run.get_context(allow_offline=True)


def run(mini_batch):
    run_context.log("files", len(mini_batch))
    return [os.path.basename(path) for path in mini_batch]
