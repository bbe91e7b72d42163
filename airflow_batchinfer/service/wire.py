"""What a caller is told: every way in which a request can end, and its status under each profile. Decides, sends nothing.

`aks` is what callers of Azure's Kubernetes front end know, `inference-server` what those of the server behind it know.
"""

from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

PROFILES = ("aks", "inference-server")


class Failure(Enum):
    """How a request can fail that was let in."""

    RAISED = "An unexpected error occurred in scoring script. Check the logs for more info."
    DIED = "The scoring process ended unexpectedly, twice. Check the logs for more info."
    TIMED_OUT = "The scoring script took longer than the scoring timeout."
    OVERLOADED = "The service is busy; try again later."
    STOPPING = "The service is being stopped."


_STATUS = {
    "aks": {
        Failure.RAISED: HTTPStatus.BAD_GATEWAY,
        Failure.DIED: HTTPStatus.BAD_GATEWAY,
        Failure.TIMED_OUT: HTTPStatus.GATEWAY_TIMEOUT,
        Failure.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
        Failure.STOPPING: HTTPStatus.SERVICE_UNAVAILABLE,
    },
    "inference-server": {
        Failure.RAISED: HTTPStatus.INTERNAL_SERVER_ERROR,
        Failure.DIED: HTTPStatus.INTERNAL_SERVER_ERROR,
        Failure.TIMED_OUT: HTTPStatus.INTERNAL_SERVER_ERROR,
        Failure.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
        Failure.STOPPING: HTTPStatus.SERVICE_UNAVAILABLE,
    },
}


@dataclass(frozen=True, slots=True)
class Answered:
    """What a replica said to one request; `headers` are those that the script asked for."""

    status: int
    body: bytes
    seconds: float
    headers: tuple[tuple[bytes, bytes], ...] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that was let in and got no answer from the script."""

    failure: Failure
    retry_after_seconds: int | None = None
    of_the_script: str = ""


Outcome = Answered | Failed


def status_of(profile: str, failure: Failure) -> int:
    """The status that a caller sees."""
    return _STATUS[profile][failure].value


def blames_the_script(failure: Failure) -> bool:
    """What `x-ms-run-function-failed` says."""
    return failure in (Failure.RAISED, Failure.DIED, Failure.TIMED_OUT)
