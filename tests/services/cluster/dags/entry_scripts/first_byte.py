"""Says of each image what its first byte is in the words of the labels. It takes its time, and a GPU for itself: two workers of one
machine with the same GPU are an error.
"""

import argparse
import fcntl
import os
import tempfile
import time
from pathlib import Path


def init():
    global words, seconds, gpu
    parser = argparse.ArgumentParser()
    parser.add_argument("--labels")
    parser.add_argument("--seconds", type=float)
    given = parser.parse_known_args()[0]
    [model] = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("shift")
    shift, seconds = int(model.read_text()), given.seconds
    words = Path(given.labels, "labels.txt").read_text().split()
    words = words[shift:] + words[:shift]
    gpu = open(f"{tempfile.gettempdir()}/gpu-{os.environ['CUDA_VISIBLE_DEVICES']}", "w")  # noqa: SIM115 - open is locked
    fcntl.flock(gpu, fcntl.LOCK_EX | fcntl.LOCK_NB)


def run(mini_batch):
    time.sleep(seconds * len(mini_batch))
    return [f"{os.path.basename(path)}: {words[Path(path).read_bytes()[0]]}" for path in mini_batch]
