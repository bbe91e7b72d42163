"""Chooses its device by what the framework tells of GPUs, and its share of the work by the number of nodes."""

import os


def init():
    global device, nodes
    count = int(os.environ.get("AZ_BATCHAI_GPU_COUNT_FOUND", "0"))
    device = f"gpu {os.environ['CUDA_VISIBLE_DEVICES']} of {count}" if count else "cpu"
    nodes = int(os.environ["AZUREML_NODE_COUNT"])


def run(mini_batch):
    return [f"{os.path.basename(path)} on {device}, {nodes} node" for path in mini_batch]
