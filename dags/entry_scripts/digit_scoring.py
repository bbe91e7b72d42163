"""Answers a service's requests: {"data": [[784 grey values from 0 to 255, row by row of 28x28], ...]} gives a list with the digit of each.

The model is a TensorFlow 1 checkpoint, `mnist-tf.model`, the one with which `digit_identification.py` scores files.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads it when it is imported; what is fatal is raised anyway

import numpy as np
import tensorflow as tf

CHECKPOINT = "mnist-tf.model"


def init():
    global session
    found = sorted(Path(os.environ["AZUREML_MODEL_DIR"]).rglob(f"{CHECKPOINT}.meta"))
    if len(found) != 1:
        raise FileNotFoundError(f"one {CHECKPOINT}.meta is expected in the service's models, found: {len(found)}")

    # One thread per replica: another replica uses the next core.
    threads = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    with tf.Graph().as_default():
        saver = tf.compat.v1.train.import_meta_graph(str(found[0]), clear_devices=True)
        session = tf.compat.v1.Session(config=threads)
        saver.restore(session, str(found[0].with_suffix("")))


def run(raw_data):
    images = np.array(json.loads(raw_data)["data"], dtype=np.float32)
    scores = session.run("network/output/MatMul:0", {"network/X:0": images})
    return np.argmax(scores, axis=1).tolist()
