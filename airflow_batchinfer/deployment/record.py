"""What the workspace knows of a service: where it runs and what was asked for. How it is, only its target knows.

services/<name>/service.json
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from airflow_batchinfer.deployment.target import Order
from airflow_batchinfer.deployment.targets import LocalTarget
from airflow_batchinfer.errors import ConflictError
from airflow_batchinfer.workspace import Workspace, service_file

# Between a machine and the folder there in which a target keeps its services.
IN = " in "


@dataclass(frozen=True, kw_only=True)
class Record:
    """The last deployment of a service."""

    name: str
    place: str
    target: Mapping[str, Any]
    spec: Mapping[str, Any]
    deployed_at: float

    @classmethod
    def of(cls, order: Order, place: str, target: LocalTarget) -> Self:
        """What is noted of a deployment that begins."""
        return cls(name=order.name, place=place, target=target.as_plain(), spec=order.spec.as_plain(), deployed_at=time.time())


def read(workspace: Workspace, name: str) -> Record | None:
    """The record of a service, if there is one."""
    try:
        return Record(**json.loads(workspace.store.read(service_file(name))))
    except FileNotFoundError:
        return None


def names(workspace: Workspace) -> list[str]:
    """The services of a workspace."""
    return workspace.store.children("services")


def note(workspace: Workspace, record: Record) -> None:
    """Write it; of two that are new at once one wins."""
    content = json.dumps(asdict(record), indent=1).encode()
    before = read(workspace, record.name)
    if before is None:
        try:
            workspace.store.create(service_file(record.name), content)
        except FileExistsError:
            before = read(workspace, record.name)
        else:
            return
    require_same_place(before, record.place)
    with workspace.store.writer(service_file(record.name)) as stream:
        stream.write(content)


def require_same_place(record: Record | None, place: str) -> None:
    """ConflictError if it runs elsewhere."""
    if record is None or record.place == place:
        return
    machines = record.place.partition(IN)[0], place.partition(IN)[0]
    if machines[0] == machines[1]:
        raise ConflictError(
            f"the service {record.name!r} runs {record.place}, and this is {place}: do it as the user who deployed it, or with the "
            f"BATCHINFER_CACHE of then; if that is gone for good, `batchinfer services delete {record.name} --forget` lets go of the name"
        )
    raise ConflictError(
        f"the service {record.name!r} runs {machines[0]}, and this is {machines[1]}: do it there (queue= sends a task to its workers); "
        f"if that machine is gone for good, `batchinfer services delete {record.name} --forget` lets go of the name"
    )


def forget(workspace: Workspace, name: str) -> None:
    """Let go of the name."""
    workspace.store.delete(f"services/{name}")
