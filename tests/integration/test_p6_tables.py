"""P6 for tables: planning, a node and merge hold no more of a large table than of a small one. The table is made where it is read."""

import json
import subprocess
import sys

import pytest

from tests.integration.lab import PROJECT, Lab

PROGRAM = """
import json, resource, sys
from airflow_batchinfer.datasets import TabularDataset
from airflow_batchinfer.engine.merge import merge
from airflow_batchinfer.engine.node import work
from airflow_batchinfer.engine.scoring import begin
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.planner import Request
from airflow_batchinfer.workspace import Workspace
from tests.faults import generated
generated.register()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
url, script, workspace, output = sys.argv[1:]
config = ParallelRunConfig(
    entry_script=script, error_threshold=0, mini_batch_size="4MB", process_count_per_node=2, append_row_file_name="sums.parquet"
)
request = Request(config=config, inputs=[TabularDataset.from_csv(url)], output_dir=output, environment=Specification())
pin = begin(Workspace.at(workspace), request)
planned = peak()
work(Workspace.at(workspace), pin)
worked = peak()
summary = merge(Workspace.at(workspace), pin)
print(json.dumps({"planned": planned, "worked": worked, "merged": peak(), "items": summary.items, "rows": summary.rows}))
"""
SCRIPT = """
import pandas
def run(mini_batch):
    return pandas.DataFrame({"first": mini_batch["number"].min(), "rows": len(mini_batch)}, index=range(len(mini_batch)))
"""


def peaks(lab: Lab, rows: int) -> dict[str, int]:
    """The peak memory of a process in MB, when it has planned, worked and merged."""
    told = [f"generated://rows-{rows}.csv", lab.script(SCRIPT), lab.root / f"ws-{rows}", lab.root / f"out-{rows}"]
    environment = {**lab.environment, "PYTHONPATH": str(PROJECT)}
    said = subprocess.run([sys.executable, "-c", PROGRAM, *map(str, told)], capture_output=True, text=True, check=False, env=environment)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert (found["items"], found["rows"]) == (rows, rows)
    return found


def test_p6_a_table_of_five_times_the_rows_takes_no_more_memory(lab: Lab) -> None:
    few, many = peaks(lab, 400_000), peaks(lab, 2_000_000)
    for when in ("planned", "worked", "merged"):
        assert many[when] < few[when] + 48, (few, many)


@pytest.mark.slow
def test_p6_a_table_of_ten_gigabytes_takes_no_more_memory_than_one_of_a_hundredth(lab: Lab) -> None:
    few, many = peaks(lab, 1_000_000), peaks(lab, 100_000_000)
    for when in ("planned", "worked", "merged"):
        assert many[when] < few[when] + 64, (few, many)
