"""RegisterModel: a model's files as the next version in the workspace's registry."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context

from airflow_batchinfer.operators.asked import anchored, check_workspace
from airflow_batchinfer.operators.failures import told_to_airflow


class RegisterModel(BaseOperator):
    """Registers a file, a folder or an archive; gives `name:version`. The same content again is the same version.

    :param model_name: The model's name.
    :param model_path: What to register, local or on any storage; a `.tar.gz` or `.zip`, also by http(s), is unpacked. Relative
        paths count from the workspace.
    :param tags: What to find it by.
    :param properties: What it is; shown with it.
    :param description: For people.
    :param always_new_version: Whether content that is registered already gets a new version too.
    :param workspace: The workspace's URL.
    :param workspace_conn_id: The connection of type `batchinfer` that names the workspace instead.
    """

    template_fields: Sequence[str] = ("model_name", "model_path", "tags", "properties", "description", "workspace")
    ui_color = "#fef7e0"

    def __init__(  # noqa: PLR0913 - the original's arguments
        self,
        *,
        model_name: str,
        model_path: str,
        tags: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        description: str | None = None,
        always_new_version: bool = False,
        workspace: str | None = None,
        workspace_conn_id: str | None = None,
        **airflow_arguments: Any,  # noqa: ANN401 - Airflow's own
    ) -> None:
        super().__init__(**airflow_arguments)
        check_workspace(workspace, workspace_conn_id)
        self.model_name = model_name
        self.model_path = model_path
        self.tags = dict(tags or {})
        self.properties = dict(properties or {})
        self.description = description
        self.always_new_version = always_new_version
        self.workspace = workspace
        self.workspace_conn_id = workspace_conn_id

    def execute(self, context: Context) -> str:
        """Register."""
        del context
        from airflow_batchinfer.hooks.workspace import open_workspace
        from airflow_batchinfer.registry import ModelRegistry

        with told_to_airflow():
            workspace = open_workspace(self.workspace, self.workspace_conn_id)
            model = ModelRegistry(workspace).register(
                self.model_name,
                anchored(self.model_path, workspace.url),
                tags=self.tags,
                properties=self.properties,
                description=self.description,
                always_new_version=self.always_new_version,
            )
        self.log.info("The model %s is registered: %s bytes, digest %s", model.reference, f"{model.size_bytes:,}", model.digest)
        return model.reference
