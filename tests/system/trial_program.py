"""Reads and tries DAG files, each in a fork of one process that has loaded Airflow: `trial_program.py LAUNCHER`, started by trials.py.

A line of standard input is a request as JSON; when it is done, a line "done" goes to standard output, and what it found lies in the
file that it names. Airflow's home comes from the environment. In a fork `dag.test()` may print, log and leave threads as it likes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_batchinfer.worker.keeper import keep_child


def main() -> None:
    keep_child(int(sys.argv[1]), (), os.open(os.devnull, os.O_RDONLY))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    load_airflow()
    print("done", file=answers, flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become_a_trial(json.loads(line))
        os.waitpid(child, 0)
        print("done", file=answers, flush=True)


def load_airflow() -> None:
    """All that `dag.test()` would load and make first, which takes seconds; no thread may be left when it is forked."""
    import a2wsgi  # noqa: F401
    from airflow import settings
    from airflow.dag_processing import dagbag  # noqa: F401
    from airflow.sdk.execution_time.supervisor import in_process_api_server
    from airflow.utils import db

    db.initdb()
    asyncio.run(ask_once(in_process_api_server().app))
    settings.engine.dispose()


async def ask_once(app: Any) -> None:  # noqa: ANN401 - Airflow's own
    """The first request, whatever it is, makes the routes of each version of the API."""
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://trial") as client:
        await client.get("/health")


def become_a_trial(request: dict[str, Any]) -> None:
    """Do it and never return: what Airflow leaves behind must end with this process."""
    code = 1
    try:
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
            os.dup2(descriptor, target)
        os.environ.update(request["environment"])
        Path(request["answer"]).write_text(json.dumps(answer(request), default=str))
        code = 0
    except BaseException:  # noqa: BLE001 - the output tells it
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    from airflow import settings
    from airflow.dag_processing.dagbag import DagBag

    # dag.test() stores what the folder of DAGs holds before it begins, and knows no other DAG.
    settings.DAGS_FOLDER = os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = request["folder"]
    bag = DagBag(request["file"])
    found = {"dags": {dag.dag_id: sorted(dag.task_ids) for dag in bag.dags.values()}, "import_errors": bag.import_errors}
    if not request["run"] or bag.import_errors:
        return found
    wanted = request["dag"] or next(iter(bag.dags))
    run = bag.dags[wanted].test(run_conf=request["conf"], **dates(request))
    tasks = {name(task): task.state for task in run.get_task_instances()}
    xcoms: dict[str, dict[str, Any]] = {}
    for xcom in results(run):
        xcoms.setdefault(name(xcom), {})[xcom.key] = xcom.value
    return {**found, "run_id": run.run_id, "state": run.state, "tasks": tasks, "xcoms": xcoms}


def dates(request: dict[str, Any]) -> dict[str, Any]:
    from airflow.sdk import timezone

    return {"logical_date": timezone.parse(request["logical_date"])} if request["logical_date"] else {}


def results(run: Any) -> Iterator[Any]:  # noqa: ANN401 - Airflow's own
    from airflow import settings
    from airflow.models.xcom import XComModel

    with settings.Session() as session:
        for xcom in session.scalars(XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id)):
            xcom.value = XComModel.deserialize_value(xcom)
            yield xcom


def name(of_a_task: Any) -> str:  # noqa: ANN401 - as above
    return of_a_task.task_id if of_a_task.map_index < 0 else f"{of_a_task.task_id}[{of_a_task.map_index}]"


if __name__ == "__main__":
    main()
