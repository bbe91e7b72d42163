"""Takes --output, which it was never given by its author, and writes a file for each item there."""

import argparse
import os


def init():
    global output
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--output", type=str)
    args, _ = parser.parse_known_args()
    output = os.path.join(args.output, "by_file")
    os.makedirs(output, exist_ok=True)


def run(mini_batch):
    for path in mini_batch:
        with open(os.path.join(output, os.path.basename(path) + ".txt"), "w") as file:
            file.write(f"{os.path.getsize(path)}\n")
    return mini_batch
