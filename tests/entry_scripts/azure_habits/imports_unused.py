"""Imports names of the SDK that it never uses."""

import os

from azureml.core import Dataset, Experiment, Workspace  # noqa: F401
from azureml.core.dataset import Dataset as OldDataset  # noqa: F401
from azureml.core.model import Model  # noqa: F401
from azureml.core.run import Run  # noqa: F401


def init():
    pass


def run(mini_batch):
    return [os.path.basename(path) for path in mini_batch]
