"""Lesson 8: many models, one for each partition of the data.

The table lies in folders called `scanner=...`, and each scanner has a model of its own. `partition_keys` makes one mini-batch of all rows
with the same scanner, wherever they lie; the script finds its name in `mini_batch_context.partition_key_value` and chooses the model by it.
Where the folders have other names, say how a path ends: `partition_format="{region}/{date:yyyy-MM-dd}/{name}.csv"`. A column is a key as
well, in files that are sorted or grouped by it.

A partition fails or succeeds as a whole, so `allowed_failed_count` says how many partitions may fail.
"""

from airflow.sdk import DAG

from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator, RegisterModel, TabularDataset

with DAG("many_models", schedule=None, doc_md=__doc__):
    models = RegisterModel(task_id="register_models", model_name="means_by_scanner", model_path="trained/means_by_scanner")
    ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(
            entry_script="entry_scripts/nearest_digit.py",
            error_threshold=-1,
            allowed_failed_count=0,
            partition_keys=["scanner"],
            append_row_file_name="digits.csv",
        ),
        inputs=TabularDataset.from_csv("scans_by_scanner"),
        models=[models.output],
    )
