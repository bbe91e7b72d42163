"""A network whose 80 MB of weights fit no cache of a core: reading them is most of the work of one request, and is done once for 64.

784-4096-4096-10, in numpy. `run` takes one request, `run_batch` as many as have come.
"""

import itertools
import json

import numpy as np

LAYERS = (784, 4096, 4096, 10)


def init():
    global weights
    drawn = np.random.default_rng(0)
    weights = [drawn.standard_normal(shape, dtype=np.float32) / 30 for shape in itertools.pairwise(LAYERS)]


def run(raw_data):
    return predict(json.loads(raw_data))


def run_batch(several):
    return predict_batch([json.loads(raw_data) for raw_data in several])


def predict(request):
    return predict_batch([request])[0]


def predict_batch(requests):
    found = np.array([request["data"] for request in requests], dtype=np.float32)
    for layer in weights:
        found = np.maximum(found @ layer, 0)
    return found.argmax(axis=1).tolist()
