"""Lesson 4: some images are broken. How many may be, before a night's work counts as failed?

Up to `error_threshold` items may fail, over all nodes; one more fails the run within seconds. It is not tried again, since it would only
fail again; its log says which items failed and why. What succeeded is kept: trigger it with a greater budget, and it does only the rest.

Within the budget the run succeeds. What failed, and why, then stands in `_errors.jsonl` beside the result.
"""

import json

from airflow.sdk import DAG, Param, task

from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator

with DAG("error_budget", schedule=None, doc_md=__doc__, params={"error_threshold": Param(3, type="integer", minimum=-1)}):
    score = ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(
            entry_script="entry_scripts/digit_identification.py",
            error_threshold="{{ params.error_threshold }}",
            mini_batch_size=1,
            run_max_try=1,
            process_count_per_node=1,
        ),
        inputs="some_broken/*",
        models=["mnist"],
    )

    @task
    def tell_what_failed(predictions: str, summary: dict) -> list[str]:
        """What a person should look at in the morning."""
        from airflow_batchinfer.hooks.storage import open_file

        print(f"{summary['items_failed']} of {summary['items']} images failed")
        with open_file(f"{predictions.rpartition('/')[0]}/_errors.jsonl") as lines:
            return [f"{error['items'][0]}: {error['reason']}" for error in map(json.loads, lines)]

    tell_what_failed(score.output, score.output["summary"])
