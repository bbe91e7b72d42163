"""Lesson 6: every week, remove the jobs that nobody has worked on for a month.

A job's folder holds its plan, its rows and its logs; results that were published lie elsewhere and stay. A job at work is never removed.
The same by hand: `airflow batchinfer jobs prune --older-than 30d`.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param, task

with DAG(
    "batchinfer_maintenance",
    schedule="@weekly",
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    params={"older_than_days": Param(30, type="number", minimum=0)},
):

    @task
    def remove_old_jobs(params: dict | None = None) -> list[str]:
        """The names of the jobs that were removed."""
        from airflow_batchinfer.engine.jobs import prune_jobs
        from airflow_batchinfer.hooks.workspace import WorkspaceHook

        age = timedelta(days=params["older_than_days"])
        removed = list(prune_jobs(WorkspaceHook().get_conn(), age.total_seconds()))
        print(f"{len(removed)} jobs were removed")
        return removed

    remove_old_jobs()
