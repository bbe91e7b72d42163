"""Asks the SDK where its model is, by the name in its arguments."""

import argparse
import json
import os

from azureml.core.model import Model


def init():
    global model
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_name", required=True)
    args, _ = parser.parse_known_args()
    with open(os.path.join(Model.get_model_path(args.model_name), "weights.json")) as file:
        model = json.load(file)


def run(mini_batch):
    return [f"{os.path.basename(path)} {model['slope'] * os.path.getsize(path) + model['bias']:.2f}" for path in mini_batch]
