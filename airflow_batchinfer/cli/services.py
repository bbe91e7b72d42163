"""`batchinfer services list|show|logs|keys|delete`."""

import argparse
import json

from airflow_batchinfer.cli.tables import print_table
from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.deployment.states import Status
from airflow_batchinfer.errors import ConflictError, NotFoundError
from airflow_batchinfer.workspace import Workspace


def list_services(options: argparse.Namespace) -> None:
    """Print every service; of one that runs on another machine, where."""
    workspace = Workspace.at(options.workspace, to_read=True)
    rows: list[tuple[str, ...]] = []
    found: list[dict[str, object]] = []
    for known in deploying.all_records(workspace):
        status = _status(workspace, known.name)
        rows.append((known.name, *_columns(status), known.place))
        found.append({"name": known.name, "place": known.place, **(status.as_plain() if isinstance(status, Status) else {"state": status})})
    if options.json:
        print(json.dumps(found))
        return
    print_table(("service", "state", "revision", "replicas", "scoring URI", "runs"), rows, f"no services in the workspace {workspace.url}")


def show(options: argparse.Namespace) -> None:
    """Print one service."""
    status = deploying.status_of(Workspace.at(options.workspace, to_read=True), options.name)
    if options.json:
        print(json.dumps(status.as_plain()))
        return
    print(f"service {status.name}: {status.state}{f', {status.detail}' if status.detail else ''}")
    print(_what_serves(status))
    print(f"scoring URI {status.scoring_uri}\nswagger URI {status.swagger_uri}\nhash {status.hash}")
    if status.failure:
        print(f"revision {status.failure.revision} failed: {status.failure.reason}\n{status.failure.of_the_script}".rstrip())


def logs(options: argparse.Namespace) -> None:
    """Print the end of its log."""
    workspace = Workspace.at(options.workspace, to_read=True)
    print(deploying.opened(workspace, options.name).logs(options.name, options.lines))


def keys(options: argparse.Namespace) -> None:
    """Print its keys, or replace one first."""
    workspace = Workspace.at(options.workspace, to_read=True)
    if options.regenerate:
        deploying.regenerate(workspace, options.name, options.regenerate)
    for key in deploying.opened(workspace, options.name).keys(options.name):
        print(key)


def delete(options: argparse.Namespace) -> None:
    """Delete a service."""
    if not deploying.delete(Workspace.at(options.workspace), options.name, forget=options.forget):
        raise NotFoundError(f"there is no service {options.name!r}")
    print(f"deleted {options.name}")


def _what_serves(status: Status) -> str:
    if status.revision is None:
        return "no revision serves"
    if not status.replicas_ready:
        return f"revision {status.revision} is to serve, and none of its replicas is ready"
    return f"revision {status.revision} serves, {status.replicas_ready} of {status.replicas_wanted} replicas are ready"


def _status(workspace: Workspace, name: str) -> Status | str:
    """How it is; only where it runs it can be looked at."""
    try:
        return deploying.find(workspace, name) or "gone"
    except ConflictError:
        return "elsewhere"


def _columns(status: Status | str) -> tuple[str, ...]:
    if isinstance(status, str):
        return status, "", "", ""
    return str(status.state), str(status.revision or ""), f"{status.replicas_ready}/{status.replicas_wanted}", status.scoring_uri or ""
