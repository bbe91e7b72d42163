"""Lesson 7: every night, score the rows of the day before, and leave a Parquet file.

The input is a table: a mini-batch is a DataFrame of about `mini_batch_size` bytes, cut between two rows, and its columns have the same
types in every mini-batch. `include_item` puts the file and the number of the row beside each prediction. With `isolate_failures` a row
that the script cannot read costs itself only, not the mini-batch in which it stands; `_errors.jsonl` names it.

The name of the result says its format: `.parquet` keeps the types; `.csv` and `.jsonl` there are as well.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG, CronDataIntervalTimetable, task

from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator, RegisterModel, TabularDataset

DAY = "{{ data_interval_start | ds }}"

with DAG(
    "score_a_table",
    schedule=CronDataIntervalTimetable("0 1 * * *", timezone="UTC"),
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
):
    model = RegisterModel(task_id="register_model", model_name="digit_means", model_path="trained/means")
    score = ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(
            entry_script="entry_scripts/nearest_digit.py",
            error_threshold=5,
            mini_batch_size="4KB",
            append_row_file_name="digits.parquet",
            include_item=True,
            isolate_failures=True,
        ),
        inputs=TabularDataset.from_csv(f"scans_by_day/{DAY}/*.csv"),
        models=[model.output],
        output_dir=f"digits_by_day/{DAY}",
    )

    @task
    def count_digits(result: str) -> dict[str, int]:
        """What was seen, most frequent first."""
        import pandas as pd

        from airflow_batchinfer.hooks.storage import open_file

        with open_file(result) as file:
            return {str(digit): int(count) for digit, count in pd.read_parquet(file)["digit"].value_counts().items()}

    count_digits(score.output)
