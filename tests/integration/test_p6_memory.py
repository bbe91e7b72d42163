"""P6: the memory of planning, of a node and of merge does not grow with the number of files, mini-batches or rows."""

import json
import os
import shutil
import subprocess
import sys

from tests.integration.lab import PROJECT, Lab

# Prints how much the peak memory of a fresh process grew while it did `what`, in bytes.
MEASURE = """
import json, os, sys
def peak():
    # Not getrusage: what that tells of a process begins with the memory of the one that started it.
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
from airflow_batchinfer.datasets import FileDataset, local_walk
from airflow_batchinfer.engine.merge import merge
from airflow_batchinfer.engine.node import NodeOptions, work
from airflow_batchinfer.planning.cutting import Cut
from airflow_batchinfer.planning.plan import PlanDraft
from airflow_batchinfer.planning.stored import load_pin
from airflow_batchinfer.workspace import Workspace
what, *told = sys.argv[1:]
if what == "plan":
    local_walk.RUN_ENTRIES = 5_000  # a folder of many runs, without the millions of files it would take
    before = peak()
    with PlanDraft([FileDataset.from_files(told[0])], Cut(1)) as draft:
        found = draft.items
else:
    workspace = Workspace.at(told[0])
    pin = load_pin(workspace, told[1])
    before = peak()
    options = NodeOptions(environment_variables={"STATE_DIR": os.environ["STATE_DIR"]})
    found = merge(workspace, pin).rows if what == "merge" else work(workspace, pin, options)
print(json.dumps({"grown": peak() - before, "peak": peak(), "found": found}))
"""
MEGABYTE = 1 << 20


def measure(lab: Lab, *what: str) -> dict[str, int]:
    environment = {**lab.environment, **lab.variables, "PYTHONPATH": str(PROJECT)}
    said = subprocess.run([sys.executable, "-c", MEASURE, *what], capture_output=True, text=True, check=False, env=environment)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def test_p6_planning_more_files_takes_no_more_memory(lab: Lab) -> None:
    folders = {count: lab.root / f"{count}" for count in (10_000, 50_000)}
    for count, folder in folders.items():
        folder.mkdir()
        for number in range(count):
            os.mknod(f"{folder}/{number:06d}")
    few, many = (measure(lab, "plan", str(folder)) for folder in folders.values())
    for folder in folders.values():
        shutil.rmtree(folder)
    assert (few["found"], many["found"]) == tuple(folders)
    assert many["grown"] < few["grown"] + 4 * MEGABYTE


def test_p6_a_node_with_ten_times_the_mini_batches_and_rows_takes_no_more_memory(lab: Lab) -> None:
    script = lab.script("def run(mini_batch):\n    return ['x' * 1000 for item in mini_batch]\n")
    grown = []
    for count in (1_000, 10_000):
        folder = lab.root / f"items-{count}"
        lab.items(*(f"{number:05d}" for number in range(count)), folder=folder)
        pin = lab.begin(script, inputs=[folder], mini_batch_size=1, output=lab.root / f"out-{count}", process_count_per_node=2)
        grown.append(measure(lab, "work", lab.workspace_url, pin.path)["grown"])
    assert grown[1] < grown[0] + 24 * MEGABYTE


def test_p6_merging_many_rows_holds_only_one_mini_batch_of_them(lab: Lab) -> None:
    lab.variables["ROW_BYTES"] = str(256 * 1024)
    lab.many(600)
    pin = lab.begin("big_rows.py", mini_batch_size=2, process_count_per_node=2)
    lab.start_node(pin).wait()
    merged = measure(lab, "merge", lab.workspace_url, pin.path)
    assert merged["found"] == 600
    assert (lab.output / "parallel_run_step.txt").stat().st_size > 150 * MEGABYTE
    assert merged["grown"] < 30 * MEGABYTE
