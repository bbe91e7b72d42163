"""The three tasks of a step: plan decides and pins, run works as one node, merge publishes. Thin: the engine does it.

They find each other by the run's pin in the workspace, whose path is made of the dag's, the run's and the step's id.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from airflow.sdk import Asset, BaseOperator, Context

from airflow_batchinfer.errors import WorkersUnavailable
from airflow_batchinfer.operators.asked import Plain, Unstored
from airflow_batchinfer.operators.failures import HOW_AGAIN, told_to_airflow

if TYPE_CHECKING:
    from airflow_batchinfer.engine.merge import Summary
    from airflow_batchinfer.engine.node import NodeOptions
    from airflow_batchinfer.operators.task_log import TaskLog
    from airflow_batchinfer.planning.pin import Pin
    from airflow_batchinfer.workspace import Workspace


WORKSPACE = "workspace"
# Airflow masks nothing shorter, and warns of it as if it were a secret.
MASKED_CHARACTERS = 5


class _StepTask(BaseOperator):
    """What the three have in common: a step, and environment variables that Airflow must not store."""

    def __init__(self, *, step: str, environment_variables: Unstored, **airflow_arguments: Any) -> None:  # noqa: ANN401 - Airflow's own
        super().__init__(**airflow_arguments)
        self.step = step
        self.environment_variables = environment_variables

    def planned(self, context: Context) -> "tuple[Workspace, Pin]":
        """The workspace that plan found, and what this run asked for. Were it looked up again, it could be another one now."""
        from airflow_batchinfer.hooks.workspace import open_workspace
        from airflow_batchinfer.planning.stored import load_pin
        from airflow_batchinfer.workspace import pin_file

        workspace = open_workspace(context["ti"].xcom_pull(task_ids=f"{self.step}.plan", key=WORKSPACE))
        return workspace, load_pin(workspace, pin_file(context["dag"].dag_id, context["run_id"], self.step))

    def rendered_variables(self, context: Context) -> dict[str, str]:
        """The environment variables, which are in no template field; secret ones are masked in the log from now on."""
        from airflow.sdk.log import mask_secret

        hidden = dict(self.environment_variables.values)
        values = {name: str(value) for name, value in self.render_template(hidden, context).items()}
        for name, value in values.items():
            if len(value) >= MASKED_CHARACTERS:
                mask_secret(value, name)
        return values


class Plan(_StepTask):
    """Lists the inputs, finds or makes the job, and pins it for this run. Gives the nodes."""

    template_fields: Sequence[str] = ("config", "inputs", "models", "side_inputs", "arguments", "output_dir", "workspace")
    ui_color = "#e8f0fe"

    def __init__(  # noqa: PLR0913 - one for each thing a step is asked
        self,
        *,
        config: Plain,
        inputs: list[Plain],
        models: list[object],
        side_inputs: dict[str, object],
        arguments: list[object],
        output_dir: str | None,
        allow_reuse: bool,
        allow_empty: bool,
        workspace: str | None,
        workspace_conn_id: str | None,
        **task_arguments: Any,  # noqa: ANN401 - Airflow's own
    ) -> None:
        super().__init__(**task_arguments)
        self.config = config
        self.inputs = inputs
        self.models = models
        self.side_inputs = side_inputs
        self.arguments = arguments
        self.output_dir = output_dir
        self.allow_reuse = allow_reuse
        self.allow_empty = allow_empty
        self.workspace = workspace
        self.workspace_conn_id = workspace_conn_id

    def execute(self, context: Context) -> list[dict[str, int]]:
        """Plan. The answer is never empty: merge would be skipped."""
        from airflow_batchinfer.hooks.workspace import open_workspace, workspace_url
        from airflow_batchinfer.operators.planning import Asked, plan

        with told_to_airflow():
            url = workspace_url(self.workspace, self.workspace_conn_id)
            context["ti"].xcom_push(WORKSPACE, url)
            asked = Asked(
                config=self.config,
                inputs=self.inputs,
                models=self.models,
                side_inputs=self.side_inputs,
                arguments=self.arguments,
                output_dir=self.output_dir,
                environment_variables=self.rendered_variables(context),
                allow_reuse=self.allow_reuse,
                allow_empty=self.allow_empty,
                dag_folder=Path(context["dag"].folder),
                run=(context["dag"].dag_id, context["run_id"], self.step),
            )
            return [{"node": number} for number in range(plan(open_workspace(url), asked))]


class Run(_StepTask):
    """Works on the job as one node of several, until every mini-batch has an outcome."""

    ui_color = "#d2e3fc"

    def __init__(self, *, node: dict[str, int], **task_arguments: Any) -> None:  # noqa: ANN401 - Airflow's own
        super().__init__(**task_arguments)
        self.node = node
        self._is_working = False

    def execute(self, context: Context) -> None:
        """Work."""
        from airflow_batchinfer.engine.node import NodeOptions, work

        instance = context["ti"]
        with told_to_airflow(how_again=HOW_AGAIN), self._stoppable(), self._told() as task_log:
            workspace, pin = self.planned(context)
            if pin.reused:
                self.log.info("Nothing that matters has changed: the job %s is reused, so there is nothing to do", pin.job)
                return
            options = NodeOptions(
                environment_variables=self.rendered_variables(context),
                map_index=max(0, instance.map_index or 0),
                try_number=instance.try_number,
                report=task_log.progress,
                show=task_log.printed,
                name=uuid4().hex[:12],
            )
            self._tell_where(workspace, pin, options)
            work(workspace, pin, options)

    def on_kill(self) -> None:
        """Airflow calls this in the main thread, where `execute` stands, and would let it go on: end it, and its workers with it."""
        if self._is_working:
            self._is_working = False
            raise KeyboardInterrupt

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        self._is_working = True
        try:
            yield
        except KeyboardInterrupt:
            raise WorkersUnavailable(
                "this node was told to stop: it was marked, cleared or deleted, or its machine goes away. What is done is kept"
            ) from None
        finally:
            self._is_working = False

    @contextmanager
    def _told(self) -> "Iterator[TaskLog]":
        from airflow_batchinfer.operators.task_log import TaskLog

        task_log = TaskLog()
        try:
            yield task_log
        finally:
            task_log.flush()

    def _tell_where(self, workspace: "Workspace", pin: "Pin", options: "NodeOptions") -> None:
        from airflow_batchinfer.workspace import JobFolder

        logs = f"{workspace.url}/{JobFolder(pin.job).logs(options.name or '')}"
        self.log.info("Working on the job %s; what each worker prints is also kept in %s", pin.job, logs)


class Merge(_StepTask):
    """Judges the counts and publishes the result; its path is the step's output."""

    ui_color = "#aecbfa"

    def __init__(self, *, asset: Asset, **task_arguments: Any) -> None:  # noqa: ANN401 - Airflow's own
        super().__init__(**task_arguments)
        self.asset = asset

    def execute(self, context: Context) -> str:
        """Merge. No retry of this task brings back an outcome that no node gave."""
        from airflow_batchinfer.engine.merge import merge
        from airflow_batchinfer.planning.stored import load_job

        with told_to_airflow(WorkersUnavailable, how_again=HOW_AGAIN):
            with suppress(Exception):  # for their masks only: a traceback that is told here may hold one of them
                self.rendered_variables(context)
            workspace, pin = self.planned(context)
            summary = merge(workspace, pin)
            models = [reference for reference, _ in load_job(workspace, pin.job).spec.models]
        self.log.info("%s", summary)
        context["ti"].xcom_push("summary", asdict(summary))
        context["outlet_events"][self.asset].extra = _told_with_the_asset(summary, models)
        return summary.output


def _told_with_the_asset(summary: "Summary", models: list[str]) -> dict[str, Any]:
    return {
        "output": summary.output,
        "rows": summary.rows,
        "items": summary.items,
        "items_failed": summary.items_failed,
        "models": models,
        "job": summary.job,
        "reused": summary.reused,
    }
