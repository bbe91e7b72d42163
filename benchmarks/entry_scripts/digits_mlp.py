"""Entry script: names the digit on each 28x28 PNG with a 784-hidden-10 network, on one thread.

The same file is run by `batchinfer run`, by the hand-written loops and by Ray's actors. One thread,
because two workers share two cores: more threads would measure TensorFlow's contention.
"""

import os

import numpy as np
import stopwatch
import tensorflow as tf
from PIL import Image

_predict = None


def init() -> None:
    """Load the weights and trace the network once."""
    global _predict
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with np.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "mlp.npz")) as weights:
        _predict = _trace({name: tf.constant(weights[name]) for name in weights.files})


def run(mini_batch: list[str]) -> list[str]:
    """One row per file: its name and the digit."""
    started_ns = stopwatch.start()
    rows = name_digits(mini_batch, np.stack([_read(path) for path in mini_batch]))
    stopwatch.stop(started_ns, len(mini_batch))
    return rows


def name_digits(paths: list[str], pixels: np.ndarray) -> list[str]:
    """The rows for images that have been read; apart from `run()` for Ray, which has a reader of its own."""
    digits = _predict(tf.constant(pixels)).numpy()
    return [f"{os.path.basename(path)}: {digit}" for path, digit in zip(paths, digits, strict=True)]


def _read(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _trace(weights: dict[str, tf.Tensor]) -> tf.types.experimental.ConcreteFunction:
    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.uint8)])
    def predict(pixels: tf.Tensor) -> tf.Tensor:
        inputs = tf.reshape(tf.cast(pixels, tf.float32) / 255.0, [-1, 784])
        hidden = tf.nn.relu(inputs @ weights["hidden_kernel"] + weights["hidden_bias"])
        return tf.argmax(hidden @ weights["output_kernel"] + weights["output_bias"], axis=1)

    return predict.get_concrete_function()
