"""Loads its model at import: the first folder in AZUREML_MODEL_DIR that has weights."""

import json
import os

for folder, _, files in os.walk(os.getenv("AZUREML_MODEL_DIR")):
    if "weights.json" in files:
        with open(os.path.join(folder, "weights.json")) as file:
            model = json.load(file)


def init():
    print("model", model["name"])


def run(mini_batch):
    return [f"{os.path.basename(path)} {model['slope'] * os.path.getsize(path) + model['bias']:.2f}" for path in mini_batch]
