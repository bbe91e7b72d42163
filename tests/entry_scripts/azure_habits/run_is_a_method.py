"""Leaves run to an object that init makes."""

import os


class Scorer:
    def __init__(self):
        self.calls = 0

    def score(self, mini_batch):
        self.calls += 1
        return [f"{os.path.basename(path)} in call {self.calls}" for path in mini_batch]


def init():
    global run
    run = Scorer().score
