"""Reads the digit in each 28x28 image with a Keras model, the one `.keras` file below AZUREML_MODEL_DIR.

`run()` returns a DataFrame with a row per file: its name, the digit, and how likely that is. In the result that is
"digit_0001.png 7 0.9987"; a parallel_run_step.settings.json beside the script can ask for commas and a header.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it when it is imported; what is fatal is raised anyway

import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image


def init():
    global model

    # One thread per worker: the node already runs a worker per core, and more threads would only compete.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    models = Path(os.environ["AZUREML_MODEL_DIR"])
    found = sorted(models.rglob("*.keras"))
    if len(found) != 1:
        listed = ", ".join(str(path.relative_to(models)) for path in found) or "none"
        raise FileNotFoundError(f"one .keras file is expected below {models}, found: {listed}; register one Keras model")
    model = tf.keras.models.load_model(found[0])
    # Kept in the job's folder, by worker.
    print(f"{found[0].name}: {model.count_params():,} weights, Keras {tf.keras.__version__}")


def run(mini_batch):
    probabilities = model.predict_on_batch(np.stack([pixels(path) for path in mini_batch]))
    return pd.DataFrame(
        {
            "file": [os.path.basename(path) for path in mini_batch],
            "digit": probabilities.argmax(axis=1),
            "probability": probabilities.max(axis=1).round(4),
        }
    )


def pixels(path):
    with Image.open(path) as image:
        if image.size != (28, 28):
            raise ValueError(f"{os.path.basename(path)} is {image.width}x{image.height} pixels; the model reads 28x28")
        return np.asarray(image.convert("L"))
