"""Score: plan, work, merge, in one process. What the command line does, and what the operators do in three tasks."""

from dataclasses import replace

from airflow_batchinfer.engine.blocks import Blocks
from airflow_batchinfer.engine.merge import Summary, merge
from airflow_batchinfer.engine.node import NodeOptions, work
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.planner import Request, plan
from airflow_batchinfer.planning.stored import save_pin
from airflow_batchinfer.workspace import JobFolder, Workspace


def begin(workspace: Workspace, request: Request) -> Pin:
    """Plan, and pin the job with the number of mini-batches that were found done."""
    job, pin = plan(workspace, request)
    blocks = Blocks(workspace.store, JobFolder(job.name), job.blocks(), pin.generation, "plan")
    blocks.refresh()
    pin = replace(pin, resumed=blocks.counts.mini_batches)
    save_pin(workspace, pin)
    return pin


def score(workspace: Workspace, pin: Pin, options: NodeOptions) -> Summary:
    """Work on the pinned job as one node, and merge."""
    if not pin.reused:
        work(workspace, pin, options)
    return merge(workspace, pin)
