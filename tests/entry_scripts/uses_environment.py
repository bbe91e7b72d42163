"""Returns the environment variables that SHOW names (A,B), as JSON, for each item."""

import json
import os


def run(mini_batch):
    shown = {name: os.environ.get(name) for name in os.environ["SHOW"].split(",")}
    return [json.dumps(shown)] * len(mini_batch)
