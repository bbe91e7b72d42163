"""The jobs of a workspace, as their folders tell: what there is, how far it is, and what can be removed."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from airflow_batchinfer.engine.blocks import Blocks
from airflow_batchinfer.engine.heartbeats import Heartbeat, process_is_gone, read_heartbeat
from airflow_batchinfer.errors import ConflictError, NotFoundError
from airflow_batchinfer.planning.spec import Job
from airflow_batchinfer.planning.stored import endings, load_job
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.workspace import JobFolder, Workspace

# Longer than any heartbeat pauses, and than clocks of one site differ: this guards a removal, nothing else.
ALIVE_SECONDS = 300.0


@dataclass(frozen=True)
class JobStatus:
    """A job at a glance."""

    job: Job
    generation: int
    state: str
    counts: Counts
    nodes: tuple[Heartbeat, ...]

    @property
    def alive(self) -> tuple[Heartbeat, ...]:
        """The nodes that may be at work."""
        return tuple(node for node in self.nodes if is_alive(node))

    @property
    def last_active(self) -> float:
        """When anybody last did anything on it."""
        return max((node.at for node in self.nodes), default=self.job.created_at)


def is_alive(node: Heartbeat) -> bool:
    """Whether a node may be at work: if in doubt, yes."""
    return not (node.ended or process_is_gone(node) or time.time() - node.at > ALIVE_SECONDS)


def all_jobs(workspace: Workspace) -> list[JobStatus]:
    """Every job; one that is being planned, or removed, is none."""
    found = []
    for name in workspace.store.children("jobs"):
        with suppress(NotFoundError):
            found.append(job_status(workspace, name))
    return found


def job_status(workspace: Workspace, name: str) -> JobStatus:
    """How far a job is."""
    job = load_job(workspace, name)
    folder = JobFolder(name)
    ended = endings(workspace.store, name)
    nodes = tuple(_nodes(workspace, folder))
    complete = bool(ended and ended[-1].counts)
    state = "complete" if complete else "working" if any(map(is_alive, nodes)) else "aborted" if ended else "incomplete"
    # What ended is shown as it ended; only work in progress is seen with the eyes of the generation that does it.
    generation = ended[-1].view if ended and state != "working" else len(ended)
    blocks = Blocks(workspace.store, folder, job.blocks(), generation, "status")
    blocks.refresh()
    return JobStatus(job, generation, state, blocks.counts, nodes)


def delete_job(workspace: Workspace, name: str) -> None:
    """Remove a job with everything in it; never one that is alive."""
    status = job_status(workspace, name)
    if status.alive:
        node = status.alive[0]
        raise ConflictError(f"the job {name} is being worked on (node {node.node}, process {node.process}); stop it first")
    _remove(workspace, name)


def prune_jobs(workspace: Workspace, older_than_seconds: float) -> Iterator[str]:
    """Remove the jobs on which nobody has done anything for so long; give their names."""
    limit = time.time() - older_than_seconds
    for status in all_jobs(workspace):
        if not status.alive and status.last_active < limit:
            _remove(workspace, status.job.name)
            yield status.job.name


def _remove(workspace: Workspace, name: str) -> None:
    """job.json first: whatever happens then, there is no half a job."""
    folder = JobFolder(name)
    workspace.store.delete(folder.job_file)
    workspace.store.delete(folder.root)


def _nodes(workspace: Workspace, folder: JobFolder) -> Iterator[Heartbeat]:
    for node in workspace.store.children(folder.nodes):
        if beat := read_heartbeat(workspace.store, folder, node):
            yield beat
