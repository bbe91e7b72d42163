"""What a user does with Airflow through its public REST API: trigger, watch, read, clear, fail, delete, backfill.

Answers are Airflow's own JSON, as dicts. A request that Airflow refuses is a `RefusedError` with its reason; waiting ends
at a deadline with what the tasks were doing. It must not read Airflow's database, nor know how Airflow was started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

import httpx

Json = Any
Answer = dict[str, Json]
Found = TypeVar("Found")
POLL_SECONDS = 0.2
PAGE_ITEMS = 100
ENDED = ("success", "failed")
FAILED_TASKS = ("failed", "upstream_failed")
SHOWN_LOG_LINES = 40
NOT_MAPPED = -1
# "Database error" and "database is locked": Airflow has done nothing then, and asks to be asked again.
BUSY = (500, 503)
BUSY_SECONDS = 30.0


class RefusedError(Exception):
    """Airflow answered with an error; `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def wait_until(found: Callable[[], Found], what: str, seconds: float) -> Found:
    """Ask until the answer is true, and give it."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for this, in vain: {what}")
        time.sleep(POLL_SECONDS)
    return answer


class Rest:
    """A client of the Airflow at `url`, logged in as `user`."""

    def __init__(self, url: str, user: str, password: str, *, seconds: float = 30.0) -> None:
        # No proxy of the surroundings: it would be asked for 127.0.0.1.
        self._http = httpx.Client(base_url=url, timeout=seconds, trust_env=False)
        token = self.request("POST", "/auth/token", json={"username": user, "password": password})["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **how: Json) -> Json:
        """Any request; `path` is from the root, `how` is httpx'. It is repeated while SQLite lets somebody else write."""
        deadline = time.monotonic() + BUSY_SECONDS
        while (answer := self._http.request(method, path, **how)).status_code in BUSY and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        if answer.is_error:
            raise RefusedError(f"{method} {path} was answered {answer.status_code}: {_reason(answer)}", answer.status_code)
        return answer.json() if answer.content else None

    # DAGs

    def dags(self) -> list[Answer]:
        return list(self._pages("/api/v2/dags", "dags"))

    def dag(self, dag: str) -> Answer:
        """With its params."""
        return self.request("GET", f"/api/v2/dags/{dag}/details")

    def import_errors(self) -> dict[str, str]:
        """The traceback of each DAG file that could not be read, by its name."""
        errors = self._pages("/api/v2/importErrors", "import_errors")
        return {error["filename"]: error["stack_trace"] for error in errors}

    def unpause(self, dag: str) -> None:
        self.request("PATCH", f"/api/v2/dags/{dag}", json={"is_paused": False})

    def pause(self, dag: str) -> None:
        self.request("PATCH", f"/api/v2/dags/{dag}", json={"is_paused": True})

    # Runs

    def trigger(
        self, dag: str, conf: Mapping[str, Json] | None = None, *, logical_date: str | None = None, run_id: str | None = None
    ) -> str:
        """Start a run with these params, and give its id; a paused DAG starts it once it is unpaused."""
        wanted = {"conf": dict(conf or {}), "logical_date": logical_date, "dag_run_id": run_id}
        return self.request("POST", f"/api/v2/dags/{dag}/dagRuns", json=wanted)["dag_run_id"]

    def run(self, dag: str, run_id: str) -> Answer:
        return self.request("GET", _run(dag, run_id))

    def runs(self, dag: str, **filters: Json) -> list[Answer]:
        return list(self._pages(f"/api/v2/dags/{dag}/dagRuns", "dag_runs", **filters))

    def wait_for(
        self,
        dag: str,
        run_id: str,
        states: Collection[str] = ("success",),
        seconds: float = 120.0,
        on_change: Callable[[list[Answer]], None] | None = None,
    ) -> Answer:
        """Wait until the run is in one of `states`; `on_change` gets its task instances whenever one has another state.

        A run that ended otherwise is an AssertionError that says which tasks failed and how their logs end.
        """
        deadline = time.monotonic() + seconds
        shown: list[tuple] = []
        while True:
            run = self.run(dag, run_id)
            if on_change is not None:
                tasks = self.task_instances(dag, run_id)
                if (seen := [_progress(task) for task in tasks]) != shown:
                    shown = seen
                    on_change(tasks)
            if run["state"] in states:
                return run
            if run["state"] in ENDED:
                raise AssertionError(f"{dag} {run_id} is {run['state']}, not {' or '.join(states)}.\n{self.failures(dag, run_id)}")
            if time.monotonic() > deadline:
                doing = [
                    f"{task} is {state}, try {attempt}" for task, _, state, attempt in map(_progress, self.task_instances(dag, run_id))
                ]
                raise TimeoutError(f"{dag} {run_id} is {run['state']} after {seconds:g} s: {'; '.join(doing)}")
            time.sleep(POLL_SECONDS)

    def set_run_state(self, dag: str, run_id: str, state: str) -> None:
        """As "mark run as" in the UI: success, failed or queued."""
        self.request("PATCH", _run(dag, run_id), json={"state": state})

    def delete_run(self, dag: str, run_id: str) -> None:
        self.request("DELETE", _run(dag, run_id))

    def clear(
        self,
        dag: str,
        run_id: str | None = None,
        task_ids: Sequence[str | tuple[str, int]] | None = None,
        *,
        include_downstream: bool = False,
        only_failed: bool = False,
        **further: Json,
    ) -> list[Answer]:
        """As "clear" in the UI: these tasks, where `(id, map index)` is one of a mapped task, or all, run again; which they are."""
        wanted = {"dag_run_id": run_id, "task_ids": task_ids, "include_downstream": include_downstream, "only_failed": only_failed}
        body = {"dry_run": False, **wanted, **further}
        return self.request("POST", f"/api/v2/dags/{dag}/clearTaskInstances", json=body)["task_instances"]

    def backfill(self, dag: str, from_date: str, to_date: str, conf: Mapping[str, Json] | None = None, **further: Json) -> int:
        """Start a run for each interval that has none; the backfill's id."""
        body = {"dag_id": dag, "from_date": from_date, "to_date": to_date, "dag_run_conf": dict(conf or {}), **further}
        return self.request("POST", "/api/v2/backfills", json=body)["id"]

    def wait_for_backfill(self, backfill: int, seconds: float = 120.0) -> list[Answer]:
        """Wait until every run that any backfill of this DAG made has ended, and give them in the order of their dates.

        Airflow itself calls a backfill completed up to 30 s later.
        """
        dag = self.request("GET", f"/api/v2/backfills/{backfill}")["dag_id"]

        def ended() -> list[Answer]:
            runs = self.runs(dag, run_type="backfill", order_by="logical_date")
            return runs if all(run["state"] in ENDED for run in runs) else []

        return wait_until(ended, f"the backfill of {dag} ends", seconds)

    # Tasks

    def task_instances(self, dag: str, run_id: str) -> list[Answer]:
        """All of them, those of a mapped task one by one, in the order of their ids."""
        tasks = self._pages(f"{_run(dag, run_id)}/taskInstances", "task_instances")
        return sorted(tasks, key=lambda task: (task["task_id"], task["map_index"]))

    def states(self, dag: str, run_id: str) -> dict[str, str | None]:
        """The state of each task; one of a mapped task is named `id[map index]`."""
        return {name: state for name, _, state, _ in map(_progress, self.task_instances(dag, run_id))}

    def set_task_state(self, dag: str, run_id: str, task_id: str, state: str, map_index: int = NOT_MAPPED, **further: Json) -> None:
        """As "mark task as" in the UI: success, failed or skipped."""
        self.request("PATCH", _task(dag, run_id, task_id, map_index), json={"new_state": state, **further})

    def log(self, dag: str, run_id: str, task_id: str, map_index: int = NOT_MAPPED, try_number: int = 1) -> str:
        """The log of one try, a line per event, tracebacks included."""
        path = f"{_run(dag, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        answer = self.request("GET", path, params={"map_index": map_index, "full_content": True}, headers={"Accept": "application/json"})
        return "\n".join(line for event in answer["content"] for line in _lines(event))

    def failures(self, dag: str, run_id: str) -> str:
        """Which tasks of a run failed, and how their last logs end."""
        failed = [task for task in self.task_instances(dag, run_id) if task["state"] in FAILED_TASKS]
        return "\n".join(self._failure(task) for task in failed) or "No task of it failed."

    def xcom(self, dag: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = NOT_MAPPED) -> Json:
        path = f"{_run(dag, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.request("GET", path, params={"map_index": map_index, "deserialize": False})["value"]

    # Assets, pools, connections

    def asset_events(self, **filters: Json) -> list[Answer]:
        """The newest first; `source_dag_id=` and `source_run_id=` choose."""
        return list(self._pages("/api/v2/assets/events", "asset_events", order_by="-timestamp", **filters))

    def pools(self) -> dict[str, Answer]:
        return {pool["name"]: pool for pool in self._pages("/api/v2/pools", "pools")}

    def set_pool(self, name: str, slots: int, description: str = "") -> None:
        """Make the pool, or change how many slots it has."""
        pool = {"slots": slots, "description": description, "include_deferred": False}
        if name in self.pools():
            self.request("PATCH", f"/api/v2/pools/{name}", json={"pool": name, **pool})
        else:
            self.request("POST", "/api/v2/pools", json={"name": name, **pool})

    def add_connection(self, connection_id: str, conn_type: str, **fields: Json) -> None:
        """`fields` are those of the form: host, login, password, port, schema, extra (a JSON text)."""
        self.request("POST", "/api/v2/connections", json={"connection_id": connection_id, "conn_type": conn_type, **fields})

    def delete_connection(self, connection_id: str) -> None:
        self.request("DELETE", f"/api/v2/connections/{connection_id}")

    def check_connection(self, connection_id: str, conn_type: str, **fields: Json) -> tuple[bool, str]:
        """As the "test" button of the form: whether it works, and what it says."""
        body = {"connection_id": connection_id, "conn_type": conn_type, **fields}
        answer = self.request("POST", "/api/v2/connections/test", json=body)
        return answer["status"], answer["message"]

    def _failure(self, task: Answer) -> str:
        name, _, state, attempt = _progress(task)
        if not attempt:
            return f"{name} is {state}."
        log = self.log(task["dag_id"], task["dag_run_id"], task["task_id"], task["map_index"], attempt)
        return f"{name} is {state}. Its log ends:\n" + "\n".join(log.splitlines()[-SHOWN_LOG_LINES:])

    def _pages(self, path: str, key: str, **filters: Json) -> Iterator[Answer]:
        offset = 0
        while True:
            page = self.request("GET", path, params={"limit": PAGE_ITEMS, "offset": offset, **filters})
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return


def _run(dag: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag}/dagRuns/{run_id}"


def _task(dag: str, run_id: str, task_id: str, map_index: int) -> str:
    path = f"{_run(dag, run_id)}/taskInstances/{task_id}"
    return path if map_index == NOT_MAPPED else f"{path}/{map_index}"


def _progress(task: Answer) -> tuple[str, int, str | None, int]:
    index = task["map_index"]
    name = task["task_id"] if index == NOT_MAPPED else f"{task['task_id']}[{index}]"
    return name, index, task["state"], task["try_number"]


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text


def _lines(event: Answer | str) -> Iterator[str]:
    """What the UI shows of an event: what was said, and the exceptions that led to it."""
    if isinstance(event, str):
        yield event
        return
    yield event["event"]
    for error in event.get("error_detail") or ():
        yield "Traceback (most recent call last):"
        yield from (f'  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}' for frame in error["frames"])
        yield f"{error['exc_type']}: {error['exc_value']}"
