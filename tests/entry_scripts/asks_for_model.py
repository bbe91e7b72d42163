"""Asks for a model that the job was not given, in init(); an item called poison fails as long as STATE_DIR is without `mended`."""

import os
from pathlib import Path

from azureml.core import Model


def init():
    global words
    words = Path(Model.get_model_path("words")).read_text()


def run(mini_batch):
    if any("poison" in path for path in mini_batch) and not Path(os.environ["STATE_DIR"], "mended").exists():
        raise ValueError("poison")
    return [f"{os.path.basename(path)} {words}" for path in mini_batch]
