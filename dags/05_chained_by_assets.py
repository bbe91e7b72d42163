"""Lesson 5: a second DAG that runs whenever the first has scored, without either knowing the other.

A step updates an asset when its result is there. The event says what came of it: output, rows, items, items_failed, models, job, reused.
"""

from collections import Counter

from airflow.sdk import DAG, Asset, task

from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator

scored_digits = Asset("scored_digits")

with DAG("score_and_announce", schedule=None, doc_md=__doc__):
    ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(entry_script="entry_scripts/digit_identification.py", error_threshold=0, mini_batch_size=20),
        inputs="digits/digit_000*.png",
        models=["mnist"],
        asset=scored_digits,
    )

with DAG("report_on_digits", schedule=[scored_digits], catchup=False, doc_md=__doc__):

    @task
    def report(triggering_asset_events: dict | None = None) -> dict[str, int]:
        """Read what was scored, wherever it lies."""
        import pandas as pd

        from airflow_batchinfer.hooks.storage import open_file

        counts: Counter[str] = Counter()
        for event in triggering_asset_events[scored_digits]:
            print(f"{event.extra['rows']} rows by {', '.join(event.extra['models'])} in {event.extra['output']}")
            with open_file(event.extra["output"]) as rows:
                table = pd.read_csv(rows, sep=": ", names=["file", "digit"], engine="python")
            counts.update(table["digit"].astype(str))
        return dict(counts)

    report()
