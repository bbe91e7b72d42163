"""Jobs, pins and endings as they lie in the workspace: read, written, and where."""

import json
from dataclasses import replace
from uuid import uuid4

from airflow_batchinfer.errors import NotFoundError, UserError
from airflow_batchinfer.planning.choice import Ending
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.spec import FORMAT, Job
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import JobFolder, Workspace


class OtherFormat(UserError):
    """A job that another version of this package stored."""


def save_pin(workspace: Workspace, pin: Pin) -> None:
    """Write a pin, over what this run had pinned before."""
    with workspace.store.writer(pin.path) as stream:
        stream.write(pin.to_json())


def load_pin(workspace: Workspace, path: str) -> Pin:
    """The pin at a path."""
    try:
        return Pin.from_json(workspace.store.read(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no {path} in the workspace {workspace.url}: is the workspace shared by all machines?") from error


def last_pins(store: Store) -> dict[str, float]:
    """When each job was last asked for."""
    found: dict[str, float] = {}
    for path in store.find("pins"):
        pin = json.loads(store.read(path))
        found[pin["job"]] = max(found.get(pin["job"], 0.0), pin["pinned_at"])
    return found


def load_job(workspace: Workspace, name: str) -> Job:
    """The job of a name."""
    text = _job_file(workspace, name)
    if (stored := json.loads(text)["format"]) != FORMAT:
        raise OtherFormat(
            f"the job {name!r} in the workspace {workspace.url} is stored in format {stored}, and this version of airflow-batchinfer "
            f"knows format {FORMAT}: go on with the version that made it, or remove it with `batchinfer jobs delete {name}`"
        )
    return Job.from_json(text)


def job_created_at(workspace: Workspace, name: str) -> float:
    """When a job was made, in whichever format it is stored."""
    return float(json.loads(_job_file(workspace, name))["created_at"])


def _job_file(workspace: Workspace, name: str) -> bytes:
    try:
        text = workspace.store.read(JobFolder(name).job_file)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no job {name!r} in the workspace {workspace.url}: `batchinfer jobs list` shows what there is; is it the right "
            "workspace, and shared by all machines?"
        ) from error
    if is_deleted(text):
        raise NotFoundError(f"the job {name!r} was deleted from the workspace {workspace.url}")
    return text


def is_deleted(text: bytes) -> bool:
    """Whether this job.json only keeps a number taken."""
    return "deleted" in json.loads(text)


def delete_job_folder(store: Store, name: str) -> None:
    """Remove all of a job but its number: first it stops being a job, so whatever happens then, nobody finds half of one."""
    folder = JobFolder(name)
    with store.writer(folder.job_file) as stream:
        stream.write(json.dumps({"deleted": True}).encode())
    for child in store.children(folder.root):
        if f"{folder.root}/{child}" != folder.job_file:
            store.delete(f"{folder.root}/{child}")


def endings(store: Store, job: str) -> tuple[Ending, ...]:
    """How the generations of a job ended, in order."""
    found = []
    for path in store.find(JobFolder(job).generations):
        ending = json.loads(store.read(path))
        found.append(Ending(ending["view"], Counts(**ending["counts"]) if ending["counts"] else None, ending["published"]))
    return tuple(found)


def end_generation(store: Store, job: str, ending: Ending) -> None:
    """Record how a generation ended; one that another run has ended already stays as it is, and the next number is taken."""
    ended = {"view": ending.view, "counts": ending.counts._asdict() if ending.counts else None, "published": ending.published}
    number = ending.view
    while True:
        try:
            return store.create(JobFolder(job).generation(number), json.dumps({**ended, "id": uuid4().hex}).encode())
        except FileExistsError:
            there = json.loads(store.read(JobFolder(job).generation(number)))
            if {name: there[name] for name in ended} == ended:
                return None
            number += 1


def source_file(job: Job) -> str:
    """Where a job keeps its source."""
    return f"{JobFolder(job.name).source}/{job.spec.source}.zip"


def plan_prefix(job: Job) -> str:
    """What the names of a job's plan segments begin with."""
    return f"{JobFolder(job.name).plan}/{job.plan}"


def mark_complete(workspace: Workspace, pin: Pin) -> None:
    """The run has its result; from now on it is cleared, not continued."""
    save_pin(workspace, replace(pin, complete=True))
