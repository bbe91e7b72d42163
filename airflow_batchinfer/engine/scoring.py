"""Score: plan, work, merge, in one process. What the command line does, and what the operators do in three tasks."""

from dataclasses import replace

from airflow_batchinfer.engine.answering import has_changed
from airflow_batchinfer.engine.blocks import Blocks
from airflow_batchinfer.engine.merge import Summary, merge
from airflow_batchinfer.engine.node import NodeOptions, work
from airflow_batchinfer.errors import Faults
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.planner import Request, plan
from airflow_batchinfer.planning.stored import save_pin
from airflow_batchinfer.registry import resolve_inputs, resolve_side_inputs
from airflow_batchinfer.workspace import JobFolder, Workspace


def begin(workspace: Workspace, request: Request) -> Pin:
    """Plan, and pin the job with the number of mini-batches that were found done."""
    job, pin = plan(workspace, _without_references(workspace, request), lambda job: has_changed(workspace, job))
    blocks = Blocks(workspace.store, JobFolder(job.name), job.blocks(), pin.generation, "plan")
    blocks.refresh()
    pin = replace(pin, resumed=blocks.counts.mini_batches)
    save_pin(workspace, pin)
    return pin


def _without_references(workspace: Workspace, request: Request) -> Request:
    """What was asked, with registered datasets as the paths that they are now: planning knows only of paths."""
    faults = Faults()
    inputs = faults.attempt(lambda: resolve_inputs(workspace, request.inputs))
    side_inputs = faults.attempt(lambda: resolve_side_inputs(workspace, request.side_inputs))
    faults.raise_any()
    return replace(request, inputs=inputs, side_inputs=side_inputs)


def score(workspace: Workspace, pin: Pin, options: NodeOptions) -> Summary:
    """Work on the pinned job as one node, and merge."""
    if not pin.reused:
        work(workspace, pin, options)
    return merge(workspace, pin)
