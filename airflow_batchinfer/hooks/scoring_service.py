"""ScoringServiceHook: what tasks of one's own may ask of a service."""

from typing import Any

from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.log import mask_secret

from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.hooks.workspace import open_workspace

LINES = 100


class ScoringServiceHook(BaseHook):
    """Looks at the services of a workspace, from a machine that can see them.

    :param workspace_conn_id: The connection of type `batchinfer` that names the workspace; the default one, or else a folder under
        AIRFLOW_HOME.
    :param workspace: The workspace's URL instead.
    """

    def __init__(self, workspace_conn_id: str | None = None, workspace: str | None = None) -> None:
        super().__init__()
        self._workspace = open_workspace(workspace, workspace_conn_id)

    def get_keys(self, name: str) -> tuple[str, ...]:
        """The primary and the secondary key, masked in the log from now on; none where the service asks for none."""
        keys = deploying.opened(self._workspace, name).keys(name)
        for key in keys:
            mask_secret(key)
        return keys

    def status(self, name: str) -> dict[str, Any]:
        """Its state, URIs, revision, replicas, and why the last revision failed if it did."""
        return deploying.status_of(self._workspace, name).as_plain()

    def logs(self, name: str, lines: int = LINES) -> str:
        """The last lines of what its processes said."""
        return deploying.opened(self._workspace, name).logs(name, lines)
