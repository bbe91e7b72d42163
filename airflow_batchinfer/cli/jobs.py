"""`batchinfer jobs list|show|delete|prune`."""

import argparse
import json
import sys
import time
from dataclasses import asdict

from airflow_batchinfer.cli.tables import print_table
from airflow_batchinfer.engine.failures import causes, failure_lines
from airflow_batchinfer.engine.jobs import JobStatus, all_jobs, delete_job, is_alive, job_status, prune_jobs
from airflow_batchinfer.engine.progress import duration
from airflow_batchinfer.planning.thresholds import counted
from airflow_batchinfer.workspace import Workspace


def list_jobs(options: argparse.Namespace) -> None:
    """Print every job."""
    workspace = Workspace.at(options.workspace, to_read=True)
    jobs, others = all_jobs(workspace)
    jobs.sort(key=lambda status: status.last_active, reverse=True)
    for other in others:
        print(f"batchinfer: {other}", file=sys.stderr)
    if options.json:
        print(json.dumps([_as_dict(status) for status in jobs]))
        return
    rows = [
        (status.job.name, status.state, _share(status), f"{status.counts.items_failed:,}", _age(status), status.job.spec.entry_script)
        for status in jobs
    ]
    print_table(("job", "state", "done", "failed items", "last active", "script"), rows, "no jobs")


def show(options: argparse.Namespace) -> None:
    """Print one job."""
    workspace = Workspace.at(options.workspace, to_read=True)
    status = job_status(workspace, options.job)
    found = causes(workspace.store, status.job, status.generation)
    if options.json:
        print(json.dumps({**_as_dict(status), "causes": [asdict(cause) for cause in found]}))
        return
    counts = status.counts
    print(f"job {status.job.name}: {status.state}, {_share(status)} done, last active {_age(status)}")
    what = f"{counted(status.job.items, 'item')} in {counted(status.job.mini_batches, 'mini-batch', 'es')}"
    print(f"script {status.job.spec.entry_script}, {what}")
    print(
        f"items {counts.items:,}, failed {counts.items_failed:,}; mini-batches failed {counts.mini_batches_failed:,}; rows {counts.rows:,}"
    )
    for node in status.nodes:
        print(f"node {node.node}: process {node.process}, {'alive' if is_alive(node) else 'ended'}")
        if node.failure and not node.budget_spent:
            print("\n".join(filter(None, (node.failure_of_the_script, node.failure))))
    for cause in found:
        print(f"\n{cause.cost}: {cause.key}")
        print(f"for example mini-batch {cause.example['mini_batch']}: {cause.example['traceback'] or cause.example['reason']}")


def failures(options: argparse.Namespace) -> None:
    """Print every failure of a job."""
    workspace = Workspace.at(options.workspace, to_read=True)
    status = job_status(workspace, options.job)
    for line in failure_lines(workspace.store, status.job, status.generation):
        print(json.dumps(line))


def delete(options: argparse.Namespace) -> None:
    """Delete a job."""
    delete_job(Workspace.at(options.workspace), options.job)
    print(f"deleted {options.job}")


def prune(options: argparse.Namespace) -> None:
    """Delete old jobs."""
    count = 0
    for name in prune_jobs(Workspace.at(options.workspace), options.older_than):
        count += 1
        print(f"deleted {name}")
    print(f"{counted(count, 'job')} deleted")


def _as_dict(status: JobStatus) -> dict[str, object]:
    return {
        "job": status.job.name,
        "state": status.state,
        "generation": status.generation,
        "mini_batches": status.job.mini_batches,
        "mini_batches_done": status.counts.mini_batches,
        "items": status.job.items,
        "counts": status.counts._asdict(),
        "nodes": [asdict(node) for node in status.nodes],
        "created_at": status.job.created_at,
        "last_active": status.last_active,
    }


def _share(status: JobStatus) -> str:
    return f"{status.counts.mini_batches:,}/{status.job.mini_batches:,}"


def _age(status: JobStatus) -> str:
    return f"{duration(max(0, time.time() - status.last_active))} ago"
