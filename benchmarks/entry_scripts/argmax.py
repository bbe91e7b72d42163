"""What S9 asks of every server: parse 784 numbers, and say where the largest is."""

import json

import numpy as np


def init():
    pass


def run(raw_data):
    return predict(json.loads(raw_data))


def predict(request):
    return int(np.argmax(np.array(request["data"])))
