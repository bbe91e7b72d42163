"""DeployScoringService, DeleteScoringService and RegenerateKey: a model behind a key, as tasks of a DAG.

They decide nothing: `deployment` does what is asked, and a service belongs to its target, not to the task that deployed it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context

from airflow_batchinfer.deployment.spec import check_another_key
from airflow_batchinfer.deployment.targets import LocalTarget, checked
from airflow_batchinfer.errors import ConfigError, DeploymentError, Faults
from airflow_batchinfer.operators.asked import Unstored, check_environment, check_source, plain_flag, plain_models
from airflow_batchinfer.operators.asked_service import (
    check_service,
    inference_of,
    keys_of,
    plain_inference,
    plain_sample,
    plain_seconds,
    plain_service,
    service_of,
    target_of,
    told,
    unstored_keys,
)
from airflow_batchinfer.operators.failures import told_to_airflow
from airflow_batchinfer.service.config import InferenceConfig, ServiceConfig

if TYPE_CHECKING:
    from airflow_batchinfer.deployment.states import Status
    from airflow_batchinfer.deployment.target import Order, Target
    from airflow_batchinfer.workspace import Workspace

LOOK_SECONDS = 5.0


class _ServiceTask(BaseOperator):
    """What the three have in common: a name, and the workspace that knows it."""

    def __init__(self, *, name: str, workspace: str | None, workspace_conn_id: str | None, **airflow_arguments: Any) -> None:  # noqa: ANN401 - Airflow's own
        super().__init__(**airflow_arguments)
        self.name = name
        self.workspace = workspace
        self.workspace_conn_id = workspace_conn_id
        self._may_be_stopped = False
        self._opened: Workspace | None = None

    def opened(self) -> "Workspace":
        """The workspace, which is probed once."""
        from airflow_batchinfer.hooks.workspace import open_workspace

        if self._opened is None:
            self._opened = open_workspace(self.workspace, self.workspace_conn_id)
        return self._opened

    def rendered_keys(self, keys: Unstored, context: Context) -> dict[str, str]:
        """Keys, which are in no template field; masked in the log from now on."""
        from airflow.sdk.log import mask_secret

        values = {name: str(value) for name, value in self.render_template(dict(keys.values), context).items()}
        for value in values.values():
            mask_secret(value)
        return values

    def on_kill(self) -> None:
        """Airflow calls this in the main thread, where `execute` stands: end that. The service is its target's, and goes on."""
        if self._may_be_stopped:
            self._may_be_stopped = False
            raise KeyboardInterrupt

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """A block that Airflow may end."""
        self._may_be_stopped = True
        try:
            yield
        except KeyboardInterrupt:
            raise DeploymentError(f"this task was told to stop; whatever serves as {self.name!r} goes on") from None
        finally:
            self._may_be_stopped = False


class DeployScoringService(_ServiceTask):
    """Creates or updates a service, and waits until it answers. Gives its name, state, URIs, revision and hash, and no key.

    The same again does nothing; while the very same comes up, it waits for that; anything else is an update, during which the revision
    before goes on answering. It does so too if the new one fails, and then this task fails with what the script said.

    :param name: The service's name, 3 to 32 of a-z, 0-9 and `-`.
    :param inference_config: The script that answers, and its Python.
    :param service_config: How it runs: replicas, keys, timeouts.
    :param models: What the script finds in AZUREML_MODEL_DIR: `name`, `name:3`, or the output of RegisterModel.
    :param target: Where it runs: `"local"`, or a LocalTarget(...).
    :param wait_for_deployment: Whether to wait until it is Healthy.
    :param timeout: How many seconds to wait for that.
    :param overwrite: Whether a service of this name that serves something else is updated; else that is an error.
    :param rollback_on_failure: Whether a revision that fails is given up for the one before; else it stays what is wanted.
    :param sample_input: What a new revision must answer before it gets requests: text, or what JSON can hold.
    :param deferrable: Whether the worker's slot is free between one look and the next.
    :param workspace: The workspace's URL.
    :param workspace_conn_id: The connection of type `batchinfer` that names the workspace instead.
    """

    template_fields: Sequence[str] = ("name", "models", "inference_config", "service_config", "sample_input", "target", "workspace")
    ui_color = "#e6f4ea"

    def __init__(  # noqa: PLR0913 - the original's arguments
        self,
        *,
        name: str,
        inference_config: InferenceConfig,
        service_config: ServiceConfig | None = None,
        models: Sequence[object] = (),
        target: str | LocalTarget = "local",
        wait_for_deployment: bool = True,
        timeout: float = 1200.0,
        overwrite: bool = True,
        rollback_on_failure: bool = True,
        sample_input: object = None,
        deferrable: bool = False,
        workspace: str | None = None,
        workspace_conn_id: str | None = None,
        **airflow_arguments: Any,  # noqa: ANN401 - Airflow's own
    ) -> None:
        super().__init__(name=name, workspace=workspace, workspace_conn_id=workspace_conn_id, **airflow_arguments)
        service_config = service_config or ServiceConfig()
        faults = Faults()
        faults.attempt(lambda: check_service(name, workspace, workspace_conn_id))
        self.inference_config = faults.attempt(lambda: plain_inference(inference_config))
        self.service_config = faults.attempt(lambda: plain_service(service_config))
        self.models = faults.attempt(lambda: plain_models(models))
        self.target = faults.attempt(lambda: checked(target).as_plain())
        self.sample_input = faults.attempt(lambda: plain_sample(sample_input))
        self.keys = faults.attempt(lambda: unstored_keys(keys_of(service_config)))
        self.timeout = faults.attempt(lambda: plain_seconds("timeout", timeout))
        self.wait_for_deployment = faults.attempt(lambda: plain_flag("wait_for_deployment", wait_for_deployment))
        self.overwrite = faults.attempt(lambda: plain_flag("overwrite", overwrite))
        self.rollback_on_failure = faults.attempt(lambda: plain_flag("rollback_on_failure", rollback_on_failure))
        self.deferrable = faults.attempt(lambda: plain_flag("deferrable", deferrable))
        if (dag := self.get_dag()) and isinstance(inference_config, InferenceConfig):
            folder = Path(dag.folder)
            faults.attempt(lambda: check_source(inference_config, folder))
            faults.attempt(lambda: check_environment(inference_config, folder))
        faults.raise_any()

    def execute(self, context: Context) -> dict[str, Any]:
        """Have the target serve it."""
        from airflow_batchinfer.deployment.deploying import begin

        began = time.time()
        with told_to_airflow(), self.stoppable():
            order = self._order(context)
            number = begin(target_of(self.target), order, self._deadline(began), overwrite=self.overwrite)
            self.log.info("The service %s is to serve revision %d, hash %s", self.name, number, order.spec.hash)
        return self.look_on(context, number, began)

    def look_on(self, context: Context, number: int, began: float) -> dict[str, Any]:
        """Look until it serves, here or by and by; Airflow calls this again after each pause."""
        from airflow_batchinfer.deployment.deploying import look, opened, overdue, take_back, wait

        del context
        with told_to_airflow(), self.stoppable():
            there = opened(self.opened(), self.name)
            if not self.wait_for_deployment:
                return self._told(there)
            try:
                if self.deferrable:
                    serves, status = look(there, self.name, number)
                else:
                    serves, status = True, wait(there, self.name, number, self._deadline(began), self.log.info)
                if serves:
                    self.log.info("Revision %s of the service %s serves at %s", status.revision, self.name, status.scoring_uri)
                    return told(status)
                self.log.info("%s: %s", status.state, status.detail)
                if time.time() - began > self.timeout:
                    raise overdue(there, status)
            except DeploymentError:
                if self.rollback_on_failure:
                    take_back(there, self.name, number)
                raise
        self._pause(number, began)
        raise AssertionError("a pause does not return")

    def _pause(self, number: int, began: float) -> None:
        """By the clock, since the triggerer may be on a machine that does not see the target."""
        from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger

        self.defer(
            trigger=TimeDeltaTrigger(timedelta(seconds=LOOK_SECONDS)),
            method_name="look_again",
            kwargs={"number": number, "began": began},
        )

    def look_again(self, context: Context, event: object = None, *, number: int, began: float) -> dict[str, Any]:
        """After a pause."""
        del event
        return self.look_on(context, number, began)

    def _order(self, context: Context) -> "Order":
        from airflow_batchinfer.deployment.ordering import order_of

        faults = Faults()
        service = faults.attempt(lambda: service_of(self.service_config, self.rendered_keys(self.keys, context)))
        inference = faults.attempt(lambda: inference_of(self.inference_config))
        faults.raise_any()
        return order_of(
            self.opened(),
            self.name,
            inference,
            service,
            folder=Path(context["dag"].folder),
            models=[str(model) for model in self.models],
            sample_input=self.sample_input,
            rollback_on_failure=self.rollback_on_failure,
        )

    def _deadline(self, began: float) -> float:
        return time.monotonic() + began + self.timeout - time.time()

    def _told(self, there: "Target") -> dict[str, Any]:
        status: Status | None = there.status(self.name)
        if status is None:
            raise ConfigError(f"the service {self.name!r} was deleted while it was deployed")
        return told(status)


class DeleteScoringService(_ServiceTask):
    """Ends a service and leaves nothing of it; one that is not there is no error. Fit for a teardown.

    :param name: The service's name.
    :param workspace: The workspace's URL.
    :param workspace_conn_id: The connection of type `batchinfer` that names the workspace instead.
    """

    template_fields: Sequence[str] = ("name", "workspace")
    ui_color = "#fce8e6"

    def __init__(
        self,
        *,
        name: str,
        workspace: str | None = None,
        workspace_conn_id: str | None = None,
        **airflow_arguments: Any,  # noqa: ANN401 - Airflow's own
    ) -> None:
        super().__init__(name=name, workspace=workspace, workspace_conn_id=workspace_conn_id, **airflow_arguments)
        check_service(name, workspace, workspace_conn_id)

    def execute(self, context: Context) -> None:
        """Delete."""
        del context
        from airflow_batchinfer.deployment.deploying import delete

        with told_to_airflow():
            existed = delete(self.opened(), self.name)
        self.log.info("The service %s %s", self.name, "is deleted" if existed else "was not there")


class RegenerateKey(_ServiceTask):
    """Replaces one key of a service; who uses the other one notices nothing.

    :param name: The service's name.
    :param key: Which: `primary` or `secondary`.
    :param new_key: The key that it becomes; a new one is made unless given. A template is rendered here and never stored.
    :param workspace: The workspace's URL.
    :param workspace_conn_id: The connection of type `batchinfer` that names the workspace instead.
    """

    template_fields: Sequence[str] = ("name", "key", "workspace")
    ui_color = "#fef7e0"

    def __init__(
        self,
        *,
        name: str,
        key: str = "primary",
        new_key: str | None = None,
        workspace: str | None = None,
        workspace_conn_id: str | None = None,
        **airflow_arguments: Any,  # noqa: ANN401 - Airflow's own
    ) -> None:
        super().__init__(name=name, workspace=workspace, workspace_conn_id=workspace_conn_id, **airflow_arguments)
        faults = Faults()
        faults.attempt(lambda: check_service(name, workspace, workspace_conn_id))
        faults.attempt(lambda: check_another_key(key, new_key))
        self.new_key = faults.attempt(lambda: unstored_keys({} if new_key is None else {"new_key": new_key}))
        faults.raise_any()
        self.key = key

    def execute(self, context: Context) -> None:
        """Replace it."""
        from airflow_batchinfer.deployment.deploying import regenerate

        with told_to_airflow():
            given: Mapping[str, str] = self.rendered_keys(self.new_key, context)
            regenerate(self.opened(), self.name, self.key, given.get("new_key"))
        self.log.info("The %s key of the service %s is another one now", self.key.lower(), self.name)
