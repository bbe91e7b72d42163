"""The operations on services, for operators and the command line: decide by what is there, have the target do it, look until it is done."""

import time
from collections.abc import Callable
from typing import NoReturn

from airflow_batchinfer.deployment import record
from airflow_batchinfer.deployment.spec import KEY_NAMES, check_another_key
from airflow_batchinfer.deployment.states import Failure, State, Status, Step, step_to
from airflow_batchinfer.deployment.target import Order, Target, UnderWay
from airflow_batchinfer.deployment.targets import LocalTarget, open_target
from airflow_batchinfer.deployment.version import VERSION
from airflow_batchinfer.errors import ConflictError, DeploymentError, NotFoundError, ScriptError
from airflow_batchinfer.workspace import Workspace

LOOK_SECONDS = 0.2
LOGGED_LINES = 30


def begin(target: LocalTarget, order: Order, deadline: float, *, overwrite: bool = True) -> int:
    """Have the target serve this; the number of the revision that does, or will. Nothing is done twice, also after a retry.

    :param deadline: By `time.monotonic`; until then it waits for another that brings the very same.
    """
    there = open_target(target, order.workspace)
    known = record.read(order.workspace, order.name)
    record.require_same_place(known, there.place)
    listens_elsewhere = known is not None and known.target != target.as_plain()
    while True:
        status = there.status(order.name)
        step = step_to(order.spec.hash, status, VERSION, overwrite=overwrite)
        if status and status.wanted and (step is Step.ATTACH or (step is Step.NOTHING and not listens_elsewhere)):
            return status.wanted
        noted = record.Record.of(order, there.place, target)
        if known is None:  # before anything is begun elsewhere under this name
            record.note(order.workspace, noted)
        try:
            number = there.apply(order)
            record.note(order.workspace, noted)
            return number
        except UnderWay as other:
            if other.hash not in (None, order.spec.hash) or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_SECONDS)
        except BaseException:
            if known is None and there.status(order.name) is None:
                record.forget(order.workspace, order.name)
            raise


def look(there: Target, name: str, number: int) -> tuple[bool, Status]:
    """Whether a revision serves, or raise why it never will."""
    status = there.status(name)
    if status is None:
        raise NotFoundError(f"the service {name!r} was deleted while revision {number} came up")
    if status.failure and status.failure.revision == number:
        _raise(name, status.failure, status)
    if status.revision == number and status.state is State.HEALTHY:
        return True, status
    if status.wanted != number:
        raise ConflictError(f"the service {name!r} was told to serve revision {status.wanted} while revision {number} came up")
    if not status.version:
        raise DeploymentError(f"the service {name!r} is {status.state} before revision {number} serves: {status.detail}")
    return False, status


def wait(there: Target, name: str, number: int, deadline: float, tell: Callable[[str], None]) -> Status:
    """Look until a revision serves, or raise why it does not."""
    told = None
    while True:
        serves, status = look(there, name, number)
        if told != (told := f"{status.state}: {status.detail}".removesuffix(": ")):
            tell(told)
        if serves:
            return status
        if time.monotonic() > deadline:
            raise overdue(there, status)
        time.sleep(LOOK_SECONDS)


def overdue(there: Target, status: Status) -> DeploymentError:
    """What to raise when a revision takes too long."""
    lines = there.logs(status.name, 10 * LOGGED_LINES).splitlines()
    own = [line for line in lines if f"revision {status.wanted} " in line]
    said = "\n".join((own or lines)[-LOGGED_LINES:])
    return DeploymentError(
        f"revision {status.wanted} of the service {status.name!r} is {status.state} and not Healthy in time ({status.detail}): "
        f"give it more with timeout=, or see what it says:\n{said}"
    )


def take_back(there: Target, name: str, number: int) -> None:
    """Go on with the revision that served before, if there is one and the new one does not serve yet."""
    status = there.status(name)
    if status and status.version and status.revision is not None and status.wanted == number != status.revision:
        there.rollback(name)


def delete(workspace: Workspace, name: str, *, forget: bool = False) -> bool:
    """End a service and leave nothing of it; whether there was one.

    :param forget: Also if it runs on another machine: then only its name is let go.
    """
    known = record.read(workspace, name)
    there = open_target(LocalTarget(), workspace)
    if not forget:
        record.require_same_place(known, there.place)
    existed = (known is None or known.place == there.place) and there.delete(name)
    record.forget(workspace, name)
    return existed or known is not None


def regenerate(workspace: Workspace, name: str, which: str, key: str | None = None) -> None:
    """Replace one key, by its Azure ML name: `Primary` or `Secondary`, in any case."""
    check_another_key(which, key)
    opened(workspace, name).regenerate(name, KEY_NAMES.index(which.lower()), key)


def opened(workspace: Workspace, name: str) -> Target:
    """The target on which a service runs."""
    known = record.read(workspace, name)
    if known is None:
        there = ", ".join(record.names(workspace)) or "none"
        raise NotFoundError(f"there is no service {name!r} in the workspace {workspace.url}; there are: {there}")
    target = open_target(LocalTarget.from_plain(known.target), workspace)
    record.require_same_place(known, target.place)
    return target


def all_records(workspace: Workspace) -> list[record.Record]:
    """What the workspace knows of its services."""
    return [known for name in record.names(workspace) if (known := record.read(workspace, name))]


def find(workspace: Workspace, name: str) -> Status | None:
    """How a service is, if there is one."""
    return None if record.read(workspace, name) is None else opened(workspace, name).status(name)


def status_of(workspace: Workspace, name: str) -> Status:
    """How a service is."""
    if status := opened(workspace, name).status(name):
        return status
    raise NotFoundError(f"the service {name!r} is gone from where it ran: deploy it again, or delete it")


def _raise(name: str, failure: Failure, status: Status) -> NoReturn:
    goes_on = f"; revision {status.revision} goes on serving" if status.revision is not None else ""
    raise ScriptError(f"revision {failure.revision} of the service {name!r} failed: {failure.reason}{goes_on}", failure.of_the_script)
