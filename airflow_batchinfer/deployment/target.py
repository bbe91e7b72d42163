"""The seam: what a place where services run must do. One conformance suite, `tests/contract/test_targets.py`, runs over all of them.

Invariants: a revision that serves goes on until another one has answered in its stead; who calls `apply` while another revision comes
up gets ConflictError; keys leave a target by `keys` only. A name that it does not know is NotFoundError, but for `status` and `delete`.
"""

from dataclasses import dataclass, field
from typing import Protocol

from airflow_batchinfer.deployment.spec import GivenKeys, Spec
from airflow_batchinfer.deployment.states import Status
from airflow_batchinfer.errors import ConflictError
from airflow_batchinfer.planning.source import Source
from airflow_batchinfer.workspace import Workspace


class UnderWay(ConflictError):
    """Another operation has begun and not ended; `hash` is of what it deploys, if it does, and None if that is not known yet."""

    def __init__(self, name: str, what: str, spec_hash: str | None = "") -> None:
        self.hash = spec_hash
        super().__init__(f"the service {name!r}: {what} is under way; try again when that has ended")


@dataclass(frozen=True, kw_only=True)
class Order:
    """A deployment as a target gets it."""

    name: str
    spec: Spec
    source: Source
    workspace: Workspace
    keys: GivenKeys = field(default_factory=GivenKeys)
    rollback_on_failure: bool = True


class Target(Protocol):
    """Where services run."""

    @property
    def place(self) -> str:
        """How it names itself in a service's record; another place than the record says is a conflict."""

    def apply(self, order: Order) -> int:
        """Begin to bring up a new revision; its number. It returns before the revision serves."""

    def status(self, name: str) -> Status | None:
        """How a service is, or None if there is none of this name."""

    def rollback(self, name: str) -> None:
        """Give up the revision that comes up, or else go back to the one that served before."""

    def delete(self, name: str) -> bool:
        """End a service and leave nothing of it; whether there was one."""

    def keys(self, name: str) -> tuple[str, ...]:
        """Its keys, the primary one first; none if it asks for none."""

    def regenerate(self, name: str, which: int, key: str | None) -> None:
        """Replace one key, 0 or 1, by the one that is given, or by a new one; the other stays good."""

    def logs(self, name: str, lines: int) -> str:
        """The last lines of what its processes said."""
