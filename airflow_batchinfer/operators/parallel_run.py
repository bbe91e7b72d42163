"""ParallelRunOperator: a step of a DAG that scores, as three tasks in a group.

What it is given becomes plain values at once, since Airflow renders nothing else (see `asked`); what is plain is checked
when the DAG is parsed, what is a template when plan runs. Nothing is read or opened here but the script's path.
"""

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, TaskGroup, XComArg
from airflow.sdk.definitions.taskgroup import MappedTaskGroup

from airflow_batchinfer.errors import ConfigError, Faults
from airflow_batchinfer.operators.asked import (
    Unstored,
    check_environment,
    check_node_count,
    check_source,
    check_workspace,
    plain_arguments,
    plain_config,
    plain_flag,
    plain_inputs,
    plain_models,
    plain_output_dir,
    plain_side_inputs,
)
from airflow_batchinfer.operators.routing import route
from airflow_batchinfer.operators.tasks import Merge, Plan, Run
from airflow_batchinfer.planning.config import ParallelRunConfig

_Words = Mapping[str, Any]
_OF_THE_GROUP = ("dag", "default_args", "parent_group", "tooltip", "doc_md")


class ParallelRunOperator(TaskGroup):
    """Scores inputs with an entry script: `{task_id}.plan`, `{task_id}.run` mapped over the nodes, `{task_id}.merge`.

    Its result is `.output`, the path of what was written; the counts are merge's XCom `summary`. Passing the step itself
    to a task of another kind where `.output` is meant makes no dependency.

    :param task_id: The step's name, and the prefix of its tasks' names.
    :param config: How to score. Any argument of it may be a template.
    :param inputs: What to score: datasets, paths, globs, `dataset:name`, or outputs of other tasks. Relative paths count from
        the workspace.
    :param models: The models that the script finds in AZUREML_MODEL_DIR: `name`, `name:3`, or the output of RegisterModel.
    :param side_inputs: Files or folders that every worker gets whole, by name.
    :param arguments: The script's own arguments; `{name}` of a side input becomes its local path.
    :param output_dir: The folder for the result; `outputs/<dag>/<run>/<step>` in the workspace unless given.
    :param allow_reuse: Whether a job with the same inputs, script, models and settings may be shown again or resumed.
    :param allow_empty: Whether an input without files gives an empty result instead of a failure.
    :param asset: The asset, or its name, that the result updates; `<dag>.<step>` unless given.
    :param workspace: The workspace's URL.
    :param workspace_conn_id: The connection of type `batchinfer` that names the workspace instead; `batchinfer_default` if there
        is one, else a folder under AIRFLOW_HOME.
    """

    def __init__(  # noqa: PLR0913 - the original's arguments, and Airflow's
        self,
        *,
        task_id: str,
        config: ParallelRunConfig,
        inputs: Sequence[object] | object,
        models: Sequence[object] = (),
        side_inputs: Mapping[str, object] | None = None,
        arguments: Sequence[object] = (),
        output_dir: str | None = None,
        allow_reuse: bool = True,
        allow_empty: bool = False,
        asset: Asset | str | None = None,
        workspace: str | None = None,
        workspace_conn_id: str | None = None,
        **airflow_arguments: Any,  # noqa: ANN401 - Airflow's own
    ) -> None:
        of_the_group = {name: airflow_arguments.pop(name) for name in _OF_THE_GROUP if name in airflow_arguments}
        super().__init__(group_id=task_id, **of_the_group)
        default_args = {**self.dag.default_args, **self.default_args}
        if workspace is None and workspace_conn_id is None:
            workspace, workspace_conn_id = default_args.get("workspace"), default_args.get("workspace_conn_id")
        faults = Faults()
        faults.attempt(lambda: _check_place(self))
        faults.attempt(lambda: check_node_count(config.node_count))
        faults.attempt(lambda: check_source(config, Path(self.dag.folder)))
        faults.attempt(lambda: check_environment(config, Path(self.dag.folder)))
        faults.attempt(lambda: check_workspace(workspace, workspace_conn_id))
        asked = {
            "config": plain_config(config),
            "inputs": faults.attempt(lambda: plain_inputs(inputs)),
            "models": faults.attempt(lambda: plain_models(models)),
            "side_inputs": faults.attempt(lambda: plain_side_inputs(side_inputs or {})),
            "arguments": faults.attempt(lambda: plain_arguments(arguments)),
            "output_dir": faults.attempt(lambda: plain_output_dir(output_dir)),
            "allow_reuse": faults.attempt(lambda: plain_flag("allow_reuse", allow_reuse)),
            "allow_empty": faults.attempt(lambda: plain_flag("allow_empty", allow_empty)),
            "workspace": workspace,
            "workspace_conn_id": workspace_conn_id,
        }
        variables = faults.attempt(lambda: _unstored(config))
        routed = faults.attempt(lambda: route(airflow_arguments, config.compute_target, default_args, _OWN))
        faults.raise_any()
        result = asset if isinstance(asset, Asset) else Asset(asset or f"{self.dag.dag_id}.{self.group_id}")
        of_the_step = {"step": self.group_id, "environment_variables": variables, "dag": self.dag}
        self.merge = self._add_tasks(asked, of_the_step, routed, result)

    def _add_tasks(self, asked: _Words, of_the_step: _Words, routed: tuple[_Words, _Words, _Words], result: Asset) -> Merge:
        """Merge stands below both, so that neither a lost node keeps it from running nor a failed plan lets it."""
        for_plan, for_run, for_merge = routed
        with self:
            plan = Plan(task_id="plan", **asked, **of_the_step, **for_plan)
            run = Run.partial(task_id="run", map_index_template="node {{ task.node['node'] }}", **of_the_step, **for_run)
            nodes = run.expand(node=plan.output)
            merge = Merge(
                task_id="merge",
                asset=result,
                trigger_rule="all_done_min_one_success",
                **of_the_step,
                **{**for_merge, "outlets": [result, *_as_list(for_merge.get("outlets", ()))]},
            )
            plan >> nodes >> merge
            plan >> merge
        return merge

    @property
    def output(self) -> XComArg:
        """The path of the result, known when merge has run."""
        return self.merge.output


_OWN = tuple(signature(ParallelRunOperator.__init__).parameters)[1:-1]


def _check_place(group: TaskGroup) -> None:
    above = group.parent_group
    while above is not None:
        if isinstance(above, MappedTaskGroup):
            raise ConfigError(
                f"the step {group.group_id!r} stands inside the mapped task group {above.group_id!r}, and Airflow cannot map what is "
                "itself mapped: give all inputs to one ParallelRunOperator, or make one for each in a Python loop"
            )
        above = above.parent_group


def _as_list(outlets: object) -> Sequence[object]:
    return outlets if isinstance(outlets, Sequence) else [outlets]


def _unstored(config: ParallelRunConfig) -> Unstored:
    variables = config.environment_variables or {}
    if late := [name for name, value in variables.items() if not isinstance(value, str)]:
        raise ConfigError(f"environment_variables {', '.join(late)}: the output of a task cannot be given there; give it in arguments")
    return Unstored(dict(variables))
