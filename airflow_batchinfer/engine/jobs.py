"""The jobs of a workspace, as their folders tell: what there is, how far it is, and what can be removed."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from airflow_batchinfer.engine.blocks import Blocks
from airflow_batchinfer.engine.heartbeats import Heartbeat, process_is_gone, read_heartbeat
from airflow_batchinfer.errors import ConflictError, NotFoundError
from airflow_batchinfer.planning.choice import Existing
from airflow_batchinfer.planning.spec import Job
from airflow_batchinfer.planning.stored import delete_job_folder, endings, is_deleted, last_pins, load_job
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import Store
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
    existing = Existing(name, 0, endings(workspace.store, name))
    nodes = tuple(_nodes(workspace, folder))
    state = _state(existing, nodes)
    # What ended is shown as it ended; only work in progress is seen with the eyes of the generation that does it.
    last = existing.merged or (existing.endings[-1] if existing.endings else None)
    generation = last.view if last and state != "working" else existing.generation
    blocks = Blocks(workspace.store, folder, job.blocks(), generation, "status")
    blocks.refresh()
    return JobStatus(job, generation, state, blocks.counts, nodes)


def _state(job: Existing, nodes: tuple[Heartbeat, ...]) -> str:
    if any(map(is_alive, nodes)):
        return "working"
    if job.merged:
        return "complete"
    return "aborted" if job.endings else "incomplete"


def delete_job(workspace: Workspace, name: str) -> None:
    """Remove a job with everything in it; never one that is alive."""
    status = job_status(workspace, name)
    if status.alive:
        node = status.alive[0]
        raise ConflictError(f"the job {name} is being worked on (node {node.node}, process {node.process}); stop it first")
    delete_job_folder(workspace.store, name)


def prune_jobs(workspace: Workspace, older_than_seconds: float) -> Iterator[str]:
    """Remove the jobs on which nobody has done anything for so long; give their names. Also what a deletion left that broke off.

    To ask for a job is doing something: a run that was planned may wait for a slot, and one that is reused writes no heartbeat.
    """
    limit = time.time() - older_than_seconds
    asked_at = last_pins(workspace.store)
    for name in workspace.store.children("jobs"):
        try:
            status = job_status(workspace, name)
        except NotFoundError:
            _finish_deleting(workspace.store, name)
            continue
        if not status.alive and max(status.last_active, asked_at.get(name, 0.0)) < limit:
            delete_job_folder(workspace.store, name)
            yield name


def _finish_deleting(store: Store, name: str) -> None:
    with suppress(FileNotFoundError):  # no job.json: it is being planned
        if is_deleted(store.read(JobFolder(name).job_file)) and len(store.children(JobFolder(name).root)) > 1:
            delete_job_folder(store, name)


def _nodes(workspace: Workspace, folder: JobFolder) -> Iterator[Heartbeat]:
    for node in workspace.store.children(folder.nodes):
        if beat := read_heartbeat(workspace.store, folder, node):
            yield beat
