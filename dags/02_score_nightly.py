"""Lesson 2: every night, score what came in during the day before; each day once, also days that were missed.

Why not plain `@daily` with `{{ ds }}`: that schedule is a moment, not a span. Its run at midnight on the 21st has `ds` = the 21st, the
day that has just begun and has no data yet; and a run without a logical date has no `ds` at all. A data interval says what is meant: the
run after midnight on the 21st has the interval of the 20th.

With `catchup=True` the days since `start_date` are scored as well, and a backfill scores earlier ones, or days whose images came late:

    airflow backfill create --dag-id score_nightly --from-date 2026-10-01 --to-date 2026-10-31 --reprocess-behavior completed

A day that is run again answers from its finished job, unless its images, the script or the model have changed.
"""

from datetime import UTC, datetime

from airflow.sdk import DAG, CronDataIntervalTimetable

from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator

DAY = "{{ data_interval_start | ds }}"

with DAG(
    "score_nightly",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2026, 11, 1, tzinfo=UTC),  # the first day that is scored by itself
    catchup=True,
    max_active_runs=1,
    doc_md=__doc__,
):
    ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(entry_script="entry_scripts/digit_identification.py", error_threshold=10, mini_batch_size=20),
        inputs=f"incoming/{DAY}/*.png",
        models=["mnist"],
        output_dir=f"scored/{DAY}",
        allow_empty=True,  # a day without images is no failure
    )
