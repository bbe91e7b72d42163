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
from airflow_batchinfer.planning.stored import OtherFormat, delete_job_folder, endings, is_deleted, job_created_at, last_pins, load_job
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
    def last_active(self) -> float:
        """When anybody last did anything on it."""
        return _last_active(self.nodes, self.job.created_at)


def _last_active(nodes: tuple[Heartbeat, ...], created_at: float) -> float:
    return max((node.at for node in nodes), default=created_at)


def is_alive(node: Heartbeat) -> bool:
    """Whether a node may be at work: if in doubt, yes."""
    return not (node.ended or process_is_gone(node) or time.time() - node.at > ALIVE_SECONDS)


def all_jobs(workspace: Workspace) -> tuple[list[JobStatus], list[OtherFormat]]:
    """Every job, and what is to be said of those that another version stored; one that is being planned, or removed, is none."""
    found, others = [], []
    for name in workspace.store.children("jobs"):
        try:
            found.append(job_status(workspace, name))
        except OtherFormat as other:
            others.append(other)
        except NotFoundError:
            continue
    return found, others


def job_status(workspace: Workspace, name: str) -> JobStatus:
    """How far a job is."""
    job = load_job(workspace, name)
    folder = JobFolder(name)
    existing = Existing(name, 0, endings(workspace.store, name))
    nodes = _nodes(workspace, folder)
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
    if any(ending.published for ending in job.endings):
        return "complete"
    gave_up = bool(nodes) and bool(max(nodes, key=lambda node: node.at).failure)
    return "failed" if job.endings or gave_up else "incomplete"


def delete_job(workspace: Workspace, name: str) -> None:
    """Remove a job with everything in it; never one that is alive."""
    job_created_at(workspace, name)  # says so if there is none
    for node in _nodes(workspace, JobFolder(name)):
        if is_alive(node):
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
            created_at = job_created_at(workspace, name)
        except NotFoundError:
            _finish_deleting(workspace.store, name)
            continue
        nodes = _nodes(workspace, JobFolder(name))
        if not any(map(is_alive, nodes)) and max(_last_active(nodes, created_at), asked_at.get(name, 0.0)) < limit:
            delete_job_folder(workspace.store, name)
            yield name


def _finish_deleting(store: Store, name: str) -> None:
    with suppress(FileNotFoundError):  # no job.json: it is being planned
        if is_deleted(store.read(JobFolder(name).job_file)) and len(store.children(JobFolder(name).root)) > 1:
            delete_job_folder(store, name)


def _nodes(workspace: Workspace, folder: JobFolder) -> tuple[Heartbeat, ...]:
    beats = (read_heartbeat(workspace.store, folder, node) for node in workspace.store.children(folder.nodes))
    return tuple(beat for beat in beats if beat)
