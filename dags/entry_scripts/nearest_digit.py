"""Names the digit in each row of a table of grey values: the one whose mean image is nearest. pandas and NumPy only.

The model is a table too: below AZUREML_MODEL_DIR, one CSV file with the mean grey values of each digit. Where mini-batches are
partitions, each has a model of its own, called after the partition: `scanner_a.csv` for `scanner=scanner_a`.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

GREY = [f"grey_{number:02}" for number in range(64)]


@cache
def model(name):
    models = Path(os.environ["AZUREML_MODEL_DIR"])
    found = sorted(models.rglob(f"{name}.csv"))
    if len(found) != 1:
        listed = ", ".join(sorted(path.name for path in models.rglob("*.csv"))) or "none"
        raise FileNotFoundError(f"one {name}.csv is expected below {models}, found: {listed}")
    return pd.read_csv(found[0], index_col="digit")


def run(mini_batch, context):
    means = model(context.partition_key_value.get("scanner", "means"))
    differences = mini_batch[GREY].to_numpy(float)[:, None, :] - means[GREY].to_numpy(float)[None, :, :]
    distances = np.sqrt((differences**2).sum(axis=2))
    nearest = distances.argmin(axis=1)
    return pd.DataFrame({"scan": mini_batch["scan"], "digit": means.index[nearest], "distance": distances.min(axis=1).round(2)})
