"""Logs by name, and fails as the names of the items say: poison always, flaky at the first try."""

import os
from pathlib import Path

from azureml.core import Run

STATE = Path(os.environ["STATE_DIR"])
run_ = Run.get_context()
run_.log("at import", 1)


def init():
    run_.log("in init", 1)


def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    run_.log("items", len(mini_batch))
    run_.log_list("sizes", [os.path.getsize(path) for path in mini_batch])
    run_.log_row("first", file=names[0], size=os.path.getsize(mini_batch[0]))
    for name in names:
        if "poison" in name:
            raise ValueError(name)
        if "flaky" in name and not (STATE / name).exists():
            (STATE / name).touch()
            os._exit(3)
    return names


def shutdown():
    run_.log("in shutdown", 1)
