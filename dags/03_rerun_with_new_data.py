"""Lesson 3: the same DAG again, with other data and other settings, from the trigger form or from the command line.

    airflow dags trigger score_again --conf '{"input": "digits/digit_0001.png", "mini_batch_size": "1", "process_count_per_node": 1}'

`ParallelRunConfig.params()` makes the form: every setting that may change from run to run, with its type, its limits and what it means.
The input may also be a registered dataset: `dataset:digits` or `dataset:digits:3`.
"""

from airflow.sdk import DAG

from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator

with DAG(
    "score_again",
    schedule=None,
    doc_md=__doc__,
    params=ParallelRunConfig.params(input="digits/*.png", mini_batch_size=20, process_count_per_node=1, run_invocation_timeout=120),
):
    ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(
            entry_script="entry_scripts/digit_identification_keras.py",
            error_threshold=0,
            mini_batch_size="{{ params.mini_batch_size }}",
            node_count="{{ params.node_count }}",
            process_count_per_node="{{ params.process_count_per_node }}",
            logging_level="{{ params.logging_level }}",
            run_invocation_timeout="{{ params.run_invocation_timeout }}",
            run_max_try="{{ params.run_max_try }}",
        ),
        inputs="{{ params.input }}",
        models=["digits_keras"],
    )
