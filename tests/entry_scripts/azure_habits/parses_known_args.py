"""Parses in init what it knows, and shows what else stood on the command line, as it was given to every script."""

import argparse
import os


def init():
    global labels, others
    parser = argparse.ArgumentParser()
    parser.add_argument("--labels")
    known, unknown = parser.parse_known_args()
    with open(known.labels) as file:
        labels = dict(line.split("=") for line in file.read().split())
    others = [word for word in unknown if word.startswith("--")]


def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    return [f"{name} is {labels.get(name, 'unknown')} ({' '.join(others)})" for name in names]
