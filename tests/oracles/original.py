"""Azure ML's own ParallelRunConfig, asked from outside: runs in an environment of its own and knows nothing of ours.

A line of JSON comes in, a line goes out. Its objects are real, made without a workspace and without a network; only the cluster, which
`load_yaml` would look up in a workspace, is made here.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # the SDK prints
warnings.simplefilter("ignore")

from azureml.core import Environment  # noqa: E402 - after what it would print to is out of the way
from azureml.core.compute import AmlCompute  # noqa: E402
from azureml.core.compute.amlcompute import ScaleSettings  # noqa: E402
from azureml.pipeline.core import PipelineParameter  # noqa: E402
from azureml.pipeline.core._parallel_run_config_base import _ParallelRunConfigBase  # noqa: E402
from azureml.pipeline.steps import ParallelRunConfig  # noqa: E402

MOST_NODES = 10
NAMES = [
    *("entry_script", "error_threshold", "output_action", "node_count", "process_count_per_node", "mini_batch_size", "source_directory"),
    *("description", "logging_level", "run_invocation_timeout", "run_max_try", "append_row_file_name", "allowed_failed_count"),
    *("allowed_failed_percent", "partition_keys", "environment_variables"),
]
SPECIAL = {"path": Path, "tuple": tuple, "bytes": str.encode, "parameter": lambda default: PipelineParameter("one", default)}


def cluster(name):
    target = AmlCompute(None, name)
    target.name, target.scale_settings = name, ScaleSettings(0, MOST_NODES, 60)
    return target


def special(value):
    """What JSON has no form for stands in an object of one key, such as {"$path": "score.py"}."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
        ((kind, inner),) = value.items()
        return SPECIAL[kind[1:]](inner)
    return value


def make(arguments, by_name):
    target = "gpu-cluster" if by_name else cluster("gpu-cluster")
    config = ParallelRunConfig(environment=Environment("any"), compute_target=target, **arguments)
    return {"says": says(config)}


def save(arguments):
    config = ParallelRunConfig(environment=Environment("any"), compute_target="gpu-cluster", **arguments)
    with TemporaryDirectory() as folder:
        config.save_to_yaml(f"{folder}/config.yml")
        return {"says": says(config), "yaml": Path(folder, "config.yml").read_text("utf-8")}


def load(text):
    with TemporaryDirectory() as folder:
        Path(folder, "config.yml").write_text(text, "utf-8")
        config = ParallelRunConfig.load_yaml(None, f"{folder}/config.yml")
    return {"says": says(config), "cluster": config.compute_target.name, "environment": config.environment.name}


def says(config):
    """What it understood; a pipeline parameter as its default."""
    values = {name: getattr(config, name) for name in NAMES}
    return {name: value.default_value if isinstance(value, PipelineParameter) else value for name, value in values.items()}


def answer(question):
    what = question.pop("what")
    try:
        if "arguments" in question:
            question["arguments"] = {name: special(value) for name, value in question["arguments"].items()}
        return {"accepted": True, **{"make": make, "save": save, "load": load}[what](**question)}
    except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
        return {"accepted": False, "message": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    _ParallelRunConfigBase._get_target = staticmethod(lambda _workspace, name: cluster(name))  # noqa: SLF001 - its one look into a workspace
    answers.write(json.dumps(sorted(NAMES)) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line)), default=str) + "\n")
