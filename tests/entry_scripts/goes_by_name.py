"""Does what items are named: poison raises, flaky raises once, more gives one row more, fewer gives none, dies ends the process once."""

import os
import time
from pathlib import Path


def first_time(name):
    mark = Path(os.environ["STATE_DIR"], name)
    seen = mark.exists()
    mark.touch()
    return not seen


def run(mini_batch):
    time.sleep(float(os.environ.get("SECONDS", "0")))
    rows = []
    for file in map(Path, mini_batch):
        if "poison" in file.name or ("flaky" in file.name and first_time(file.name)):
            raise ValueError(file.name)
        if "dies" in file.name and first_time(file.name):
            os.abort()
        rows += [f"{file.name}: {file.stat().st_size}"] * (0 if "fewer" in file.name else 2 if "more" in file.name else 1)
    return rows
