"""The launcher of a real Airflow and the REST client, as the demo, the other tests and the benchmarks use them.

Whatever ends the launcher, nothing that Airflow started may be left: neither its components nor what a task has left behind.
"""

import os
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from dags.demo.rest import RefusedError, Rest, wait_until
from dags.demo.standalone import NotHealthyError, Standalone
from tests.integration.lab import Program
from tests.integration.leftovers import MARK, children, is_alive, marked_processes
from tests.system.live import LiveAirflow

pytestmark = pytest.mark.services

PROJECT = Path(__file__).parents[2]
DAILY = """
from datetime import datetime
from airflow.sdk import DAG, Asset, task

with DAG("daily", schedule="@daily", start_date=datetime(2026, 1, 1), end_date=datetime(2026, 1, 9), catchup=False):
    @task(outlets=[Asset("daily")])
    def day(ds=None, outlet_events=None):
        outlet_events[Asset("daily")].extra = {"day": ds}

    day()
"""
KEYS = ("fernet_key", "secret_key", "jwt_secret")
LAUNCHER = """
import signal, sys
from pathlib import Path
from dags.demo.standalone import Standalone

signal.signal(signal.SIGINT, signal.default_int_handler)
with Standalone(Path(sys.argv[1]), Path(sys.argv[2]), refresh_seconds=1) as airflow:
    print("healthy", file=sys.stderr, flush=True)
    signal.pause()
"""
# A task that starts a daemon, and both ignore every signal that they can.
STUBBORN = """
from airflow.sdk import DAG, task

with DAG("stubborn", schedule=None, params={"file": ""}):
    @task
    def hang(file):
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            while True:
                time.sleep(60)
        with open(file, "w") as started:
            started.write("started")
        while True:
            time.sleep(60)

    hang("{{ params.file }}")
"""
WAITING = """
from airflow.sdk import DAG, task

with DAG("waiting", schedule=None):
    @task
    def wait():
        import time
        print("now it waits")
        time.sleep(600)

    wait()
"""
DOUBLING = """
from airflow.sdk import DAG, Param, task

with DAG("doubling", schedule=None, params={"count": Param(3, type="integer", minimum=1)}):
    @task
    def numbers(params=None):
        return list(range(params["count"]))

    @task(retries=0)
    def double(number):
        print(f"doubling {number}")
        if number == 7:
            raise ValueError("seven is too many")
        return 2 * number

    @task
    def total(doubles):
        return sum(doubles)

    total(double.expand(number=numbers()))
"""


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    found = [pid]
    for parent in found:
        found += children(parent)
    return found


def assert_gone(processes: list[int], mark: str, seconds: float) -> None:
    """Both ways, since a process that renames itself overwrites the environment that others see."""
    wait_until(lambda: not any(map(is_alive, processes)) and not marked_processes(mark), f"nothing is left of {processes}", seconds)


def client(airflow: Standalone) -> Rest:
    return Rest(airflow.url, airflow.login.user, airflow.login.password)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    folder = tmp_path / "dags"
    folder.mkdir()
    return folder


@pytest.fixture
def launcher(home, dags, tmp_path) -> Iterator[Program]:
    """A program that starts an Airflow and waits."""
    command = [sys.executable, "-c", LAUNCHER, str(home), str(dags)]
    program = Program(command, tmp_path / "launcher", cwd=PROJECT, env={**os.environ, MARK: tmp_path.name})
    yield program
    program.send(signal.SIGKILL)
    program.wait()


def test_after_a_stop_in_the_middle_of_a_task_nothing_is_left_and_the_next_start_keeps_the_password_and_the_keys(home, dags, tmp_path):
    (dags / "stubborn.py").write_text(STUBBORN)
    started = tmp_path / "started"
    airflow = Standalone(home, dags, refresh_seconds=1, environment={MARK: tmp_path.name})
    with airflow, client(airflow) as rest:
        wait_until(rest.dags, "the DAG is seen", 30)
        rest.unpause("stubborn")
        rest.trigger("stubborn", {"file": str(started)})
        wait_until(started.exists, "the task hangs", 60)
        processes, login = tree(airflow.pid), airflow.login
        keys = {line for line in (home / "airflow.cfg").read_text().splitlines() if line.startswith(KEYS)}
    assert len(processes) > 15
    assert_gone(processes, tmp_path.name, 0)
    with Standalone(home, dags, environment={MARK: tmp_path.name}) as again, client(again) as rest:
        assert again.login == login
        assert len(keys) == len(KEYS)
        assert keys < set((home / "airflow.cfg").read_text().splitlines())
        assert [dag["dag_id"] for dag in rest.dags()] == ["stubborn"]


def test_when_the_launcher_is_killed_nothing_is_left(launcher, tmp_path):
    wait_until(lambda: "healthy" in launcher.stderr or not launcher.is_running, "Airflow is healthy", 120)
    processes = launcher.tree()
    assert len(processes) > 15, launcher.stderr
    launcher.send(signal.SIGKILL)
    assert_gone(processes, tmp_path.name, 5)


def test_when_the_launcher_is_interrupted_while_airflow_starts_nothing_is_left(launcher, home, tmp_path):
    wait_until((home / "logs" / "start.log").exists, "Airflow starts", 30)
    processes = wait_until(lambda: tree(launcher.pid) if len(tree(launcher.pid)) > 2 else [], "the keeper has a child", 30)
    launcher.send(signal.SIGINT)
    assert launcher.wait(5).code != 0
    assert_gone(processes, tmp_path.name, 0)


def test_when_a_component_ends_all_end_and_the_error_says_which_and_shows_its_log(home, dags, tmp_path):
    airflow = Standalone(home, dags, environment={MARK: tmp_path.name, "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "nonsense"})
    with pytest.raises(NotHealthyError, match=r"(?s)scheduler\.log.*nonsense.*scheduler ended with exit code 1"), airflow:
        pass
    assert_gone([], tmp_path.name, 0)


def test_a_port_that_is_taken_is_told_before_anything_starts(home, dags):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotHealthyError, match=f"cannot listen on 127.0.0.1:{port} .Address already in use.: give another port"):
            Standalone(home, dags, port=port).start()


def test_one_home_holds_one_airflow(airflow: LiveAirflow):
    running = airflow.standalone
    with pytest.raises(RuntimeError, match=f"An Airflow runs in {running.home} already"):
        Standalone(running.home, running.dags_folder).start()


def test_it_listens_on_this_machine_only(airflow: LiveAirflow):
    listening = [address for pid in tree(airflow.standalone.pid) for address in addresses_of(pid)]
    assert airflow.standalone.port in [address.port for address in listening]
    assert {address.ip for address in listening} == {"127.0.0.1"}


def addresses_of(pid: int) -> list[Any]:
    """Where a process listens; nowhere, when it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return [socket.laddr for socket in psutil.Process(pid).net_connections("inet") if socket.status == "LISTEN"]
    return []


def test_its_secrets_are_for_its_user_alone(airflow: LiveAirflow):
    for name in ("airflow.cfg", "passwords.json"):
        assert stat.S_IMODE((airflow.standalone.home / name).stat().st_mode) == 0o600


def test_an_environment_of_another_airflow_does_not_reach_it(home, dags, monkeypatch):
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production/airflow")
    monkeypatch.setenv("AIRFLOW_HOME", "/another")
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "s3://")
    environment = Standalone(home, dags, environment={"AIRFLOW__CORE__PARALLELISM": "2"}).environment
    assert {name: value for name, value in environment.items() if name.startswith("AIRFLOW")} == {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_LAKE": "s3://",
        "AIRFLOW__CORE__PARALLELISM": "2",
    }


def test_the_command_line_speaks_to_it(airflow: LiveAirflow):
    airflow.standalone.cli("pools", "set", "of_the_command_line", "3", "made by a test")
    assert airflow.rest.pools()["of_the_command_line"]["slots"] == 3
    with pytest.raises(RuntimeError, match="invalid choice: 'nonsense'"):
        airflow.standalone.cli("nonsense")


# The client.


def test_a_run_is_triggered_with_params_watched_and_read(airflow: LiveAirflow):
    airflow.add_dag("doubling.py", DOUBLING)
    rest, shown = airflow.rest, []
    run = rest.trigger("doubling", {"count": 4})
    rest.wait_for("doubling", run, on_change=shown.append)
    doubles = {f"double[{index}]": "success" for index in range(4)}
    assert rest.states("doubling", run) == {"numbers": "success", **doubles, "total": "success"}
    assert (rest.xcom("doubling", run, "total"), rest.xcom("doubling", run, "double", map_index=2)) == (12, 4)
    assert "doubling 2" in rest.log("doubling", run, "double", map_index=2).splitlines()
    assert len(shown) > 2


def test_a_run_that_fails_says_at_once_which_tasks_failed_and_how_their_logs_end(airflow: LiveAirflow):
    airflow.add_dag("doubling.py", DOUBLING)
    run = airflow.rest.trigger("doubling", {"count": 8})
    with pytest.raises(AssertionError, match=r"(?s)double\[7\] is failed.*ValueError: seven is too many.*total is upstream_failed"):
        airflow.rest.wait_for("doubling", run)


def test_a_mapped_task_is_cleared_by_its_index_and_what_follows_with_it(airflow: LiveAirflow):
    airflow.add_dag("doubling.py", DOUBLING)
    rest = airflow.rest
    run = airflow.score("doubling")
    cleared = rest.clear("doubling", run, [("double", 1)], include_downstream=True)
    assert {(task["task_id"], task["map_index"]) for task in cleared} == {("double", 1), ("total", -1)}
    rest.wait_for("doubling", run)
    tries = {(task["task_id"], task["map_index"]): task["try_number"] for task in rest.task_instances("doubling", run)}
    assert tries == {("numbers", -1): 1, ("double", 0): 1, ("double", 1): 2, ("double", 2): 1, ("total", -1): 2}


def test_a_run_is_marked_failed_and_deleted(airflow: LiveAirflow):
    airflow.add_dag("doubling.py", DOUBLING)
    rest = airflow.rest
    run = airflow.score("doubling")
    rest.set_run_state("doubling", run, "failed")
    assert rest.run("doubling", run)["state"] == "failed"
    rest.delete_run("doubling", run)
    with pytest.raises(RefusedError, match="not found") as refused:
        rest.run("doubling", run)
    assert refused.value.status == 404


def test_the_log_of_a_running_task_is_read_without_a_fault_and_each_line_once(airflow: LiveAirflow):
    airflow.add_dag("waiting.py", WAITING)
    rest = airflow.rest
    run = rest.trigger("waiting")
    wait_until(lambda: rest.states("waiting", run).get("wait") == "running", "the task runs", 60)
    log = wait_until(lambda: log if "now it waits" in (log := rest.log("waiting", run, "wait")) else "", "it says so", 30)
    assert log.count("now it waits") == 1
    assert "Could not read" not in log
    rest.set_task_state("waiting", run, "wait", "failed")
    assert rest.wait_for("waiting", run, states=["failed"])["state"] == "failed"


def test_a_backfill_makes_each_day_once(airflow: LiveAirflow):
    airflow.add_dag("daily.py", DAILY)
    backfill = airflow.rest.backfill("daily", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z")
    runs = airflow.rest.wait_for_backfill(backfill)
    assert [run["logical_date"] for run in runs] == [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
    events = airflow.rest.asset_events(source_dag_id="daily")
    assert sorted(event["extra"]["day"] for event in events) == [f"2026-01-0{day}" for day in (1, 2, 3)]


def test_a_dag_file_that_cannot_be_read_is_shown_with_its_traceback(airflow: LiveAirflow):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        airflow.add_dag("broken.py", "from airflow.sdk import DAG\n1 / 0\n")


def test_a_connection_is_made_and_tried(airflow: LiveAirflow):
    airflow.rest.add_connection("folder", "fs", extra='{"path": "/"}')
    works, said = airflow.rest.check_connection("folder", "fs", extra='{"path": "/"}')
    assert works, said
    airflow.rest.delete_connection("folder")
