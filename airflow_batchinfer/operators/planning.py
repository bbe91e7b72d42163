"""From what a step asks, rendered, to a pinned job. What the plan task does, imported only when it runs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from airflow_batchinfer.engine.scoring import begin
from airflow_batchinfer.environments.specification import specification_of
from airflow_batchinfer.errors import Faults
from airflow_batchinfer.operators.asked import (
    Plain,
    anchored,
    check_node_count,
    config_of,
    environment_of,
    in_dag_folder,
    inputs_of,
    is_given,
)
from airflow_batchinfer.operators.task_log import folded
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.planner import Request, RunName
from airflow_batchinfer.planning.stored import load_job
from airflow_batchinfer.planning.thresholds import counted
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.workspace import Workspace, output_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one run of a step asks, rendered."""

    config: Plain
    inputs: Sequence[Plain]
    models: Sequence[object]
    side_inputs: Mapping[str, object]
    arguments: Sequence[object]
    output_dir: str | None
    environment_variables: Mapping[str, str]
    allow_reuse: bool
    allow_empty: bool
    dag_folder: Path
    run: tuple[str, str, str]


def plan(workspace: Workspace, asked: Asked) -> int:
    """Pin a job for this run; how many nodes it takes: none more than there are mini-batches, and never none."""
    request = _request(workspace, asked)
    folded("What this run asks", [f"{name}: {value}" for name, value in _told(asked, request).items()])
    pin = begin(workspace, request)
    job = load_job(workspace, pin.job)
    nodes = 1 if pin.reused else max(1, min(pin.rules.nodes, job.mini_batches))
    log.info("%s in %s", counted(job.items, "item"), counted(job.mini_batches, "mini-batch", "es"))
    log.info(_what_happens(pin, nodes))
    return nodes


def _request(workspace: Workspace, asked: Asked) -> Request:
    faults = Faults()
    config = faults.attempt(lambda: _config(asked))
    inputs = faults.attempt(lambda: inputs_of(asked.inputs, workspace.url))
    models = [faults.attempt(partial(ModelRegistry(workspace).resolve, str(reference))) for reference in asked.models]
    environment = faults.attempt(lambda: specification_of(environment_of(asked.config), asked.dag_folder))
    faults.raise_any()
    return Request(
        config=config,
        inputs=inputs,
        output_dir=anchored(str(asked.output_dir) if is_given(asked.output_dir) else output_folder(*asked.run), workspace.url),
        environment=environment,
        models=[(model.reference, model.digest) for model in models],
        side_inputs={name: anchored(str(path), workspace.url) for name, path in asked.side_inputs.items()},
        arguments=[str(argument) for argument in asked.arguments],
        allow_reuse=asked.allow_reuse,
        allow_empty=asked.allow_empty,
        run=RunName(*asked.run),
    )


def _config(asked: Asked) -> ParallelRunConfig:
    config = config_of(asked.config, asked.environment_variables)
    check_node_count(config.node_count)
    return in_dag_folder(config, asked.dag_folder)


def _told(asked: Asked, request: Request) -> dict[str, object]:
    """What was asked, for people; of environment variables only the names."""
    settings = {name: value for name, value in asked.config.items() if value is not None}
    others = {"models": asked.models, "side_inputs": asked.side_inputs, "arguments": asked.arguments, "output_dir": asked.output_dir}
    given = {name: value for name, value in others.items() if value}
    inputs = [str(dataset) for dataset in request.inputs]
    return {"inputs": inputs, **given, **settings, "environment_variables": sorted(asked.environment_variables)}


def _what_happens(pin: Pin, nodes: int) -> str:
    if pin.reused:
        return f"Nothing that matters has changed: the job {pin.job} is reused"
    if pin.resumed:
        return f"Resuming the job {pin.job} on {counted(nodes, 'node')}: {counted(pin.resumed, 'mini-batch', 'es')} done already"
    return f"Working on the job {pin.job} on {counted(nodes, 'node')}"
