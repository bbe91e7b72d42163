"""`batchinfer run`: one node, in this process, and a result that a person can follow."""

import argparse
from collections.abc import Mapping
from functools import partial

from airflow_batchinfer.cli import environment
from airflow_batchinfer.cli.display import open_display
from airflow_batchinfer.cli.inputs import inputs_of
from airflow_batchinfer.cli.values import named_values
from airflow_batchinfer.datasets import Dataset
from airflow_batchinfer.engine.node import NodeOptions
from airflow_batchinfer.engine.scoring import begin, score
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import Faults
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.planner import Request
from airflow_batchinfer.planning.thresholds import counted
from airflow_batchinfer.registry import Model, ModelRegistry
from airflow_batchinfer.workspace import Workspace


def run(options: argparse.Namespace) -> None:
    """Plan, score and merge."""
    workspace = Workspace.at(options.workspace)
    faults = Faults()
    config = faults.attempt(lambda: _config(options))
    inputs = faults.attempt(lambda: inputs_of(options, options.input))
    side_inputs = faults.attempt(lambda: named_values("--side-input", options.side_input))
    specification = faults.attempt(lambda: environment.specification(options))
    models = [faults.attempt(partial(ModelRegistry(workspace).resolve, reference)) for reference in options.model]
    faults.raise_any()
    with open_display() as display:
        display.say("looking at the inputs")
        pin = begin(workspace, _request(options, config, inputs, models, side_inputs, specification))
        display.say(_what_happens(pin))
        node = NodeOptions(environment_variables=config.environment_variables or {}, report=display.progress, show=display.printed)
        summary = score(workspace, pin, node)
    print(summary.to_json() if options.json else summary)


def _config(options: argparse.Namespace) -> ParallelRunConfig:
    return ParallelRunConfig(
        entry_script=options.script,
        source_directory=options.source_directory,
        error_threshold=options.error_threshold,
        allowed_failed_count=options.allowed_failed_count,
        allowed_failed_percent=options.allowed_failed_percent,
        output_action=options.output_action,
        append_row_file_name=options.append_row_file_name,
        include_item=options.include_item,
        mini_batch_size=options.mini_batch_size,
        partition_keys=options.partition_key,
        process_count_per_node=options.processes,
        run_invocation_timeout=options.timeout,
        run_max_try=options.max_try,
        isolate_failures=options.isolate_failures,
        azureml_compat=options.azureml_compat,
        tensorflow_v1=options.tensorflow_v1,
        environment_variables=named_values("--env", options.env),
    )


def _request(
    options: argparse.Namespace,
    config: ParallelRunConfig,
    inputs: list[Dataset],
    models: list[Model],
    side_inputs: Mapping[str, str],
    specification: Specification,
) -> Request:
    return Request(
        config=config,
        inputs=inputs,
        output_dir=options.output,
        environment=specification,
        models=[(model.reference, model.digest) for model in models],
        side_inputs=side_inputs,
        arguments=options.arguments,
        allow_reuse=not options.no_reuse,
        allow_empty=options.allow_empty,
    )


def _what_happens(pin: Pin) -> str:
    if pin.reused:
        return f"nothing that matters has changed: the job {pin.job} is reused"
    if pin.resumed:
        return f"resuming the job {pin.job}: {counted(pin.resumed, 'mini-batch', 'es')} done already"
    return f"working on the job {pin.job}"
