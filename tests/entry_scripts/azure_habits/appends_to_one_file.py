"""Appends the rows of every worker to one file in the folder for outputs, and returns only that it has done so."""

import os


def run(mini_batch):
    rows = [f"{os.path.basename(path)};{os.path.getsize(path)}\n" for path in mini_batch]
    with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "scores.csv"), "a") as file:
        file.write("".join(rows))
    return [True] * len(mini_batch)
