"""A service that was deployed on one of many machines: it is that machine's, and not that of the worker which deployed it."""

import os
import signal
from pathlib import Path

import pytest

from dags.demo.rest import Rest
from tests.integration.leftovers import children, wait_for_the_end
from tests.services.cluster.cluster import Machine
from tests.services.cluster.conftest import Digits

pytestmark = pytest.mark.services


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""


def celery(machine: Machine) -> list[int]:
    """The worker's first process, if it runs."""
    (first,) = children(machine.pid)
    return [pid for pid in children(first) if "celery" in command(pid)]


def of_the_service(machine: Machine) -> dict[int, str]:
    """Its guardian, its router and all below."""
    found = {pid: command(pid) for pid in machine.processes()}
    return {pid: said for pid, said in found.items() if "says-where" in said}


def stored_keys(machine: Machine) -> list[str]:
    [keys] = machine.disk.glob("home/.cache/batchinfer/services/says-where-*/keys")
    return keys.read_text().split()


@pytest.fixture(scope="module")
def rest(digits: Digits) -> Rest:
    rest = digits.rest
    digits.cluster.wait_until(lambda: {"serves", "asks"} <= {dag["dag_id"] for dag in rest.dags()}, "the DAGs of the service are read", 90)
    for dag in ("serves", "asks"):
        rest.unpause(dag)
    return rest


@pytest.fixture(scope="module")
def served(rest: Rest) -> str:
    run = rest.trigger("serves")
    rest.wait_for("serves", run, ["failed"])
    return run


def test_a_task_on_the_machine_of_the_deployment_asks_the_service_and_a_deployment_from_another_is_told_where_it_runs(
    rest: Rest, served: str
):
    assert rest.states("serves", served) == {"register_model": "success", "deploy": "success", "ask": "success", "elsewhere": "failed"}
    answer = {"machine": "worker", "shift": 3}
    assert rest.xcom("serves", served, "ask") == {"state": "Healthy", "revision": 1, "answer": answer}
    elsewhere = next(task for task in rest.task_instances("serves", served) if task["task_id"] == "elsewhere")
    assert (elsewhere["try_number"], elsewhere["hostname"].startswith("worker-gpu-")) == (1, True)
    told = f"the service 'says-where' runs local on worker, and this is local on {elsewhere['hostname']}: do it there (queue= sends a task"
    assert told in rest.log("serves", served, "elsewhere")


def test_a_machine_that_starts_anew_with_its_name_and_disk_serves_again_with_the_next_deployment_by_its_port_and_keys(
    digits: Digits, rest: Rest, served: str
):
    machine = digits.cluster.machines["worker"]
    before = stored_keys(machine)
    digits.cluster.restart("worker")
    assert of_the_service(machine) == {}
    run = rest.trigger("serves")
    rest.wait_for("serves", run, ["failed"])
    again, first = rest.xcom("serves", run, "deploy"), rest.xcom("serves", served, "deploy")
    assert again == {**first, "revision": 2}
    assert rest.xcom("serves", run, "ask") == {**rest.xcom("serves", served, "ask"), "revision": 2}
    assert stored_keys(machine) == before


def test_a_service_survives_the_worker_that_deployed_it_and_is_asked_and_deleted_by_the_next(digits: Digits, rest: Rest, served: str):
    machine = digits.cluster.machines["worker"]
    service = of_the_service(machine)
    assert len(service) >= 2
    for number in (signal.SIGTERM, signal.SIGKILL):
        [worker] = digits.cluster.wait_until(lambda: celery(machine), "a worker runs")
        os.kill(worker, number)
        wait_for_the_end(worker, 30)
    assert of_the_service(machine) == service
    run = rest.trigger("asks")
    rest.wait_for("asks", run, seconds=90)
    answered = rest.xcom("asks", run, "ask")
    assert (answered["state"], answered["answer"]) == ("Healthy", {"machine": "worker", "shift": 3})
    for pid in service:
        wait_for_the_end(pid, 10)
    assert of_the_service(machine) == {}
