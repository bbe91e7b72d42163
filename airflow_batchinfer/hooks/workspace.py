"""WorkspaceHook: the workspace that a connection of type `batchinfer` names, or a folder under AIRFLOW_HOME where there is none."""

import logging
import os
from pathlib import Path

from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_batchinfer.errors import BatchInferError, ConfigError
from airflow_batchinfer.hooks.storage import use_airflow_connections
from airflow_batchinfer.storage import is_local, split_connection, split_protocol, with_connection
from airflow_batchinfer.workspace import Workspace

log = logging.getLogger(__name__)

DEFAULT_CONNECTION = "batchinfer_default"
FOLDER = "batchinfer"


class WorkspaceHook(BaseHook):
    """Opens the workspace.

    :param workspace_conn_id: A connection of type `batchinfer`. If it is the default one and does not exist, the workspace is a
        folder under AIRFLOW_HOME, which only the tasks of one machine share.
    """

    conn_name_attr = "workspace_conn_id"
    default_conn_name = DEFAULT_CONNECTION
    conn_type = "batchinfer"
    hook_name = "Batch inference workspace"

    def __init__(self, workspace_conn_id: str = DEFAULT_CONNECTION) -> None:
        super().__init__()
        self.workspace_conn_id = workspace_conn_id

    def get_conn(self) -> Workspace:
        """The workspace, which has passed the probe."""
        return open_workspace(conn_id=self.workspace_conn_id)

    def test_connection(self) -> tuple[bool, str]:
        """What the button in Airflow's connection form does: look whether the folder can hold a workspace."""
        try:
            workspace = self.get_conn()
        except BatchInferError as error:
            return False, str(error)
        return True, f"{workspace.url} can hold a workspace"


def open_workspace(url: str | None = None, conn_id: str | None = None) -> Workspace:
    """The workspace at a URL, or else at what a connection says."""
    return Workspace.at(workspace_url(url, conn_id))


def workspace_url(url: str | None = None, conn_id: str | None = None) -> str:
    """Where the workspace is."""
    if url and conn_id:
        raise ConfigError(f"workspace={url!r} and workspace_conn_id={conn_id!r} are given both: give one of them")
    use_airflow_connections()
    return _absolute("the workspace", url) if url else _root_of(conn_id or DEFAULT_CONNECTION)


def _root_of(conn_id: str) -> str:
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        if conn_id != DEFAULT_CONNECTION:
            raise ConfigError(f"there is no connection {conn_id!r} in Airflow: add one of type batchinfer, or name another") from error
        home = str(_airflow_home() / FOLDER)
        log.info("Airflow has no connection %s, so the workspace is %s, which only tasks of this machine share", conn_id, home)
        return home
    root, storage = connection.extra_dejson.get("root"), connection.extra_dejson.get("storage_conn_id")
    if connection.conn_type != WorkspaceHook.conn_type or not (root and isinstance(root, str)):
        raise ConfigError(f"the connection {conn_id!r} names no workspace: its type must be batchinfer, and its workspace root a folder")
    _absolute(f"the connection {conn_id!r}: the workspace root", root)
    if not storage:
        return root
    named = with_connection(storage, root)
    if split_connection(named)[0] != storage or split_connection(root)[0]:
        raise ConfigError(
            f"the connection {conn_id!r}: the workspace root {root!r} takes no storage connection {storage!r}; leave that empty"
        )
    return named


def _absolute(what: str, url: str) -> str:
    if is_local(url) and not Path(split_protocol(url)[1]).expanduser().is_absolute():
        raise ConfigError(f"{what} {url!r} must be absolute, since every worker has its own folders")
    return url


def _airflow_home() -> Path:
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
