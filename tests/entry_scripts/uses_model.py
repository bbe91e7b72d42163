"""Reads the first file under AZUREML_MODEL_DIR at init and returns its text for each item."""

import os
from pathlib import Path


def init():
    global model
    model = min(file for file in Path(os.environ["AZUREML_MODEL_DIR"]).rglob("*") if file.is_file()).read_text().strip()


def run(mini_batch):
    return [f"{Path(item).name}: {model}" for item in mini_batch]
