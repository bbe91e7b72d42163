"""Reads the digit in each 28x28 image with a TensorFlow 1 checkpoint, `mnist-tf.model`, as models trained before TensorFlow 2 are kept.

One row per file: "digit_0001.png: 7". With `--labels FOLDER` the row says "digit_0001.png: seven", in the words of FOLDER/labels.txt: one
line for each digit, from 0 on.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it when it is imported; what is fatal is raised anyway

import numpy as np
import tensorflow as tf
from PIL import Image

CHECKPOINT = "mnist-tf.model"
DIGITS = 10


def init():
    global session, names
    names = words(arguments().labels)
    checkpoint = find_checkpoint(Path(os.environ["AZUREML_MODEL_DIR"]))

    # One thread per worker: the node already runs a worker per core, and more threads would only compete.
    threads = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with tf.Graph().as_default():
        # The graph without its devices, which are those of the machine that trained it; then the values of its variables.
        saver = tf.compat.v1.train.import_meta_graph(f"{checkpoint}.meta", clear_devices=True)
        session = tf.compat.v1.Session(config=threads)
        saver.restore(session, str(checkpoint))


def run(mini_batch):
    # The whole mini-batch in one evaluation; the network takes grey values from 0 to 255.
    images = np.stack([pixels(path) for path in mini_batch])
    scores = session.run("network/output/MatMul:0", {"network/X:0": images})
    digits = np.argmax(scores, axis=1)
    return [f"{os.path.basename(path)}: {names[digit]}" for path, digit in zip(mini_batch, digits, strict=True)]


def arguments():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--labels", help="a folder with labels.txt, the words for the digits")
    return parser.parse_known_args()[0]  # the step adds arguments of its own


def words(folder):
    if folder is None:
        return range(DIGITS)
    file = Path(folder, "labels.txt")
    found = file.read_text("utf-8").splitlines()
    if len(found) != DIGITS:
        raise ValueError(f"{file} has {len(found)} lines; write {DIGITS}, the words for the digits from 0 on")
    return found


def find_checkpoint(models):
    found = sorted(models.rglob(f"{CHECKPOINT}.meta"))
    if len(found) != 1:
        listed = ", ".join(str(path.relative_to(models)) for path in found) or "none"
        raise FileNotFoundError(f"one {CHECKPOINT}.meta is expected below {models}, found: {listed}; register the folder of one checkpoint")
    return found[0].with_suffix("")


def pixels(path):
    with Image.open(path) as image:
        if image.size != (28, 28):
            raise ValueError(f"{os.path.basename(path)} is {image.width}x{image.height} pixels; the network reads 28x28")
        return np.asarray(image.convert("L"), dtype=np.float32).reshape(784)
