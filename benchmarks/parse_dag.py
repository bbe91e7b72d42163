"""Reads one DAG file as Airflow's dag-processor does, many times: P8's stopwatch. A program of its own.

The modules that a dag-processor has loaded are loaded first and not counted: Airflow's own, also those that the file imports
(`parsing_pre_import_modules`). Then each reading is a fork, as there, so that nothing of one is left for the next.
"""

import json
import logging
import os
import statistics
import sys
import time
from importlib import import_module
from pathlib import Path

from airflow.dag_processing import processor  # noqa: F401 - what the dag-processor has loaded
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.execution_time import task_runner  # noqa: F401 - as processor
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.file import iter_airflow_imports

HEAVY = ("numpy", "pandas", "pyarrow", "tensorflow")


def main(file: str, times: str) -> None:
    """Print the medians, and which heavy modules were there after a reading."""
    logging.disable(logging.INFO)
    for module in iter_airflow_imports(file):
        import_module(module)
    readings = [_in_a_fork(Path(file)) for _ in range(int(times))]
    medians = {name: statistics.median(reading[name] for reading in readings) for name in ("import_seconds", "serialize_seconds")}
    print(json.dumps({**medians, "modules": readings[0]["modules"], "heavy": readings[0]["heavy"]}))


def _in_a_fork(file: Path) -> dict[str, object]:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, json.dumps(_read(file)).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return json.loads(told)


def _read(file: Path) -> dict[str, object]:
    before = set(sys.modules)
    started = time.perf_counter()
    bag = BundleDagBag(dag_folder=str(file), bundle_path=file.parent, bundle_name="benchmark", load_op_links=False)
    imported = time.perf_counter()
    if bag.import_errors or len(bag.dags) != 1:
        raise ValueError(f"{file} has {len(bag.dags)} DAGs, and errors: {bag.import_errors}")
    loaded = len(set(sys.modules) - before)
    for dag in bag.dags.values():
        DagSerialization.to_dict(dag)
    serialized = time.perf_counter()
    heavy = [name for name in HEAVY if name in sys.modules]
    return {"import_seconds": imported - started, "serialize_seconds": serialized - imported, "modules": loaded, "heavy": heavy}


if __name__ == "__main__":
    main(*sys.argv[1:])
