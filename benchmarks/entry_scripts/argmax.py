"""What S9 asks of every server: parse 784 numbers, and say where the largest is."""

import json

import numpy as np


def init():
    pass


def run(raw_data):
    data = np.array(json.loads(raw_data)["data"])
    return int(np.argmax(data))
