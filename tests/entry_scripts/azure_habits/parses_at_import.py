"""Parses its arguments when it is imported, and uses them as globals."""

import argparse
import os

parser = argparse.ArgumentParser()
parser.add_argument("--unit", default="bytes")
parser.add_argument("--factor", type=int, required=True)
args, _ = parser.parse_known_args()
FACTOR = args.factor


def init():
    print("factor", FACTOR)


def run(mini_batch):
    return [f"{os.path.basename(path)} {os.path.getsize(path) * FACTOR} {args.unit}" for path in mini_batch]
