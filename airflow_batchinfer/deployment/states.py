"""How a service is, and what is to be done about it: pure, without a process, storage or a clock."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum, StrEnum, auto
from typing import Any, Self

from airflow_batchinfer.errors import ConflictError


class State(StrEnum):
    """Azure ML's words. `Failed` and `Healthy` stay unless something is done; the others may change by themselves."""

    TRANSITIONING = "Transitioning"
    UNHEALTHY = "Unhealthy"
    UNSCHEDULABLE = "Unschedulable"
    FAILED = "Failed"
    HEALTHY = "Healthy"


@dataclass(frozen=True)
class Failure:
    """Why a revision could not be brought up; `of_the_script` is its traceback."""

    revision: int
    hash: str
    reason: str
    of_the_script: str = ""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A service as it is now.

    :param revision: The one that serves; None while there is none.
    :param wanted: The one that should: another while it comes up, and after it failed without being taken back.
    :param hash: Of what is wanted.
    :param failure: Of the last revision that was tried, if it came to nothing.
    :param detail: What a person would want to know besides.
    :param version: Of this package, which its processes have; empty if it has none any more, so that nothing changes by itself.
    """

    name: str
    state: State
    target: str
    revision: int | None
    wanted: int | None
    hash: str | None
    scoring_uri: str | None = None
    replicas_ready: int = 0
    replicas_wanted: int = 0
    detail: str = ""
    failure: Failure | None = None
    version: str = ""

    @property
    def swagger_uri(self) -> str | None:
        """Where its interface is described."""
        return None if self.scoring_uri is None else self.scoring_uri.removesuffix("/score") + "/swagger.json"

    @property
    def is_changing(self) -> bool:
        """Whether a revision comes up, or waits for GPUs to do so: until it serves, has failed or is taken back, another is a conflict."""
        return self.state is State.TRANSITIONING or (self.state is State.UNSCHEDULABLE and self.revision != self.wanted)

    def as_plain(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {**asdict(self), "state": str(self.state), "swagger_uri": self.swagger_uri}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `as_plain`."""
        given = {name: value for name, value in plain.items() if name != "swagger_uri"}
        failure = given["failure"] and Failure(**given["failure"])
        return cls(**{**given, "state": State(given["state"]), "failure": failure})


class Step(Enum):
    """What a deployment has to do."""

    NOTHING = auto()
    ATTACH = auto()
    APPLY = auto()


def step_to(wanted_hash: str, status: Status | None, version: str, *, overwrite: bool) -> Step:
    """What is to be done so that this is served, or ConflictError.

    :param version: Of this package: a service of another is deployed anew, since its replicas start from files that have changed.
    """
    if status is None or status.wanted is None:
        return Step.APPLY
    if status.hash == wanted_hash:
        if status.state in (State.TRANSITIONING, State.UNSCHEDULABLE):
            return Step.ATTACH
        return Step.NOTHING if status.state is State.HEALTHY and status.version == version else Step.APPLY
    if status.is_changing:
        raise ConflictError(
            f"the service {status.name!r} is just being changed to revision {status.wanted}, which asks for something else "
            f"({status.hash}, not {wanted_hash}): try again when that has ended"
        )
    if not overwrite:
        raise ConflictError(
            f"the service {status.name!r} is there already and serves something else ({status.hash}, not {wanted_hash}): "
            "give another name, or overwrite=True to update it"
        )
    return Step.APPLY


def state_of(*, is_changing: bool, failed: bool, ready: int, without_gpu: int) -> State:
    """The state of a service whose processes live."""
    if without_gpu:
        return State.UNSCHEDULABLE
    if is_changing:
        return State.TRANSITIONING
    if failed:
        return State.FAILED
    return State.HEALTHY if ready else State.UNHEALTHY
