"""Reads the digit in each 28x28 image with a TensorFlow SavedModel, one row per file: "digit_0001.png: 7"."""

import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image


def init():
    global model

    # One thread per worker: the node already runs a worker per core, and more threads would only compete.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    models = Path(os.environ["AZUREML_MODEL_DIR"])
    found = sorted(models.rglob("saved_model.pb"))
    if not found:
        raise FileNotFoundError(f"no saved_model.pb below {models}: register the folder of a TensorFlow SavedModel")
    model = tf.saved_model.load(str(found[0].parent))


def run(mini_batch):
    images = np.stack([pixels(path) for path in mini_batch])
    digits = np.argmax(model.serve(images), axis=1)
    return [f"{os.path.basename(path)}: {digit}" for path, digit in zip(mini_batch, digits, strict=True)]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))
