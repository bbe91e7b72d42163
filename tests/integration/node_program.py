"""A node in a process of its own: `node_program.py WORKSPACE PIN OPTIONS`, the options of NodeOptions as JSON.

What the operators' run task does, without Airflow. Exit 0 done; 1 with the error's name and text on stderr.
"""

import json
import sys

from airflow_batchinfer.engine.node import NodeOptions, work
from airflow_batchinfer.errors import BatchInferError
from airflow_batchinfer.planning.stored import load_pin
from airflow_batchinfer.workspace import Workspace


def main(url: str, path: str, options: str) -> int:
    workspace = Workspace.at(url)
    try:
        work(workspace, load_pin(workspace, path), NodeOptions(**json.loads(options)))
    except BatchInferError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
