"""ScoringServiceSensor: waits until a service answers, whoever deployed it."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator, Context

from airflow_batchinfer.errors import ScriptError
from airflow_batchinfer.operators.asked_service import check_service, told
from airflow_batchinfer.operators.failures import told_to_airflow


class ScoringServiceSensor(BaseSensorOperator):
    """Succeeds when a service is Healthy, fails when it has Failed, and waits otherwise. Gives what DeployScoringService gives.

    :param name: The service's name.
    :param workspace: The workspace's URL.
    :param workspace_conn_id: The connection of type `batchinfer` that names the workspace instead.
    """

    template_fields: Sequence[str] = ("name", "workspace")
    ui_color = "#e6f4ea"

    def __init__(
        self,
        *,
        name: str,
        workspace: str | None = None,
        workspace_conn_id: str | None = None,
        **airflow_arguments: Any,  # noqa: ANN401 - Airflow's own
    ) -> None:
        super().__init__(**airflow_arguments)
        check_service(name, workspace, workspace_conn_id)
        self.name = name
        self.workspace = workspace
        self.workspace_conn_id = workspace_conn_id

    def poke(self, context: Context) -> Any:  # noqa: ANN401 - Airflow's own
        """Look once."""
        del context
        from airflow.sdk import PokeReturnValue

        from airflow_batchinfer.deployment.deploying import find
        from airflow_batchinfer.deployment.states import State
        from airflow_batchinfer.hooks.workspace import open_workspace

        with told_to_airflow():
            status = find(open_workspace(self.workspace, self.workspace_conn_id), self.name)
            if status is None:
                self.log.info("There is no service %s yet", self.name)
                return False
            self.log.info(
                "The service %s is %s: revision %s, %s", self.name, status.state, status.revision, status.detail or "nothing to say"
            )
            if status.state is State.FAILED and status.failure:
                raise ScriptError(f"the service {self.name!r} has failed: {status.failure.reason}", status.failure.of_the_script)
        return PokeReturnValue(is_done=True, xcom_value=told(status)) if status.state is State.HEALTHY else False
