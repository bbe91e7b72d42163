"""Writes what it found into ./outputs, as training scripts do."""

import os

os.makedirs("outputs", exist_ok=True)


def run(mini_batch):
    with open("./outputs/found.txt", "a") as file:
        file.writelines(path + "\n" for path in mini_batch)
    with open("./outputs/found.txt") as file:
        lines = file.read().split()
    return [os.path.basename(path) for path in mini_batch if path in lines]
