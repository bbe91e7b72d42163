"""The same DAG on the cluster of docker-compose.yaml, while its machines die and come back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise

import pytest

from tests.services.cluster.conftest import DAG, EXPECTED, GPU_WORKERS, STEP, Digits

pytestmark = pytest.mark.services


@pytest.fixture
def one_slot(digits: Digits):
    slots = digits.rest.pools()["gpu_pool"]["slots"]
    digits.rest.set_pool("gpu_pool", 1)
    yield
    digits.rest.set_pool("gpu_pool", slots)


@pytest.fixture(autouse=True)
def enough_slots(digits: Digits):
    digits.rest.set_pool("gpu_pool", 4)


def hosts(digits: Digits, run: str) -> dict[str, set[str]]:
    tasks = digits.rest.task_instances(DAG, run)
    return {name: {task["hostname"] for task in tasks if task["task_id"] == name} for name in {task["task_id"] for task in tasks}}


def at_work(digits: Digits, run: str) -> set[str]:
    return {node["hostname"] for node in digits.nodes(run) if node["state"] == "running"}


def wait_until_all_have_begun(digits: Digits, run: str) -> None:
    digits.cluster.wait_until(lambda: all(node["start_date"] for node in digits.nodes(run)), "every node has begun")


def test_the_nodes_run_on_the_gpu_workers_only_and_everything_else_on_none_of_them(digits: Digits):
    run = digits.start()
    digits.wait_for_success(run)
    assert digits.result(run) == EXPECTED
    assert hosts(digits, run) == {
        "register_model": {"worker"},
        f"{STEP}.plan": {"worker"},
        f"{STEP}.run": set(GPU_WORKERS),
        f"{STEP}.merge": {"worker"},
    }


def test_a_gpu_worker_that_is_killed_in_the_middle_changes_no_byte(digits: Digits):
    lost, kept = GPU_WORKERS
    run = digits.start(seconds=0.2)
    digits.wait_for_the_middle(run)
    digits.cluster.wait_until(lambda: at_work(digits, run) == {lost, kept}, "both workers are at work")
    digits.cluster.machines[lost].kill()
    try:
        digits.wait_for_success(run)
        assert digits.result(run) == EXPECTED
        assert {node["hostname"] for node in digits.nodes(run)} == {kept}
        assert {node["try_number"] for node in digits.nodes(run)} == {1, 2}
    finally:
        digits.cluster.start(lost)


def test_an_api_server_that_is_killed_and_restarted_in_the_middle_changes_no_byte(digits: Digits):
    run = digits.start(seconds=0.2)
    digits.wait_for_the_middle(run)
    digits.cluster.restart("api-server")
    digits.cluster.wait_until_healthy("api-server")
    digits.wait_for_success(run)
    assert digits.result(run) == EXPECTED


def test_a_database_that_is_killed_and_restarted_in_the_middle_changes_no_byte(digits: Digits):
    run = digits.start(seconds=0.2)
    digits.wait_for_the_middle(run)
    digits.cluster.restart("postgres")
    digits.wait_for_success(run)
    assert digits.result(run) == EXPECTED
    assert {node["try_number"] for node in digits.nodes(run)} == {1}


def test_a_queue_that_is_killed_and_restarted_in_the_middle_changes_no_byte(digits: Digits):
    run = digits.start(seconds=0.2)
    wait_until_all_have_begun(digits, run)
    digits.wait_for_the_middle(run)
    digits.cluster.restart("redis")
    digits.wait_for_success(run)
    assert digits.result(run) == EXPECTED
    assert [node["try_number"] for node in digits.nodes(run)] == [1] * 4


def test_eight_nodes_in_a_pool_of_one_slot_run_one_after_the_other_and_give_the_same_bytes(digits: Digits, one_slot):
    run = digits.start(node_count=8, seconds=0)
    digits.wait_for_success(run)
    assert digits.result(run) == EXPECTED
    ran = sorted((datetime.fromisoformat(node["start_date"]), datetime.fromisoformat(node["end_date"])) for node in digits.nodes(run))
    assert len(ran) == 8
    assert all(end <= start for (_, end), (start, _) in pairwise(ran))


def test_every_health_check_of_the_file_finds_its_service_healthy(digits: Digits):
    one_of_each = {machine.service.name: machine for machine in digits.cluster.machines.values() if machine.service.health_command}
    assert len(one_of_each) == 9  # airflow-init has ended
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(digits.cluster.wait_until_healthy, [machine.name for machine in one_of_each.values()]))


def test_a_machine_has_its_own_name_disk_and_processes_and_shares_the_network(digits: Digits):
    machine = digits.cluster.machines["worker-gpu-2"]
    assert machine.run(["hostname"]).stdout == "worker-gpu-2\n"
    others = machine.run(["ls", "--almost-all", str(machine.disk.parent)])
    assert (others.returncode, others.stdout) == (0, "")
    programs = machine.run(["cat", *(f"/proc/{pid}/cmdline" for pid in range(1, 3))]).stdout
    assert "machine.py" in programs
    assert "celery" in machine.run(["ps", "ax"]).stdout
    assert "scheduler" not in machine.run(["ps", "ax"]).stdout
    assert machine.run(["redis-cli", "-h", "redis", "ping"]).stdout == "PONG\n"
    assert {card.split()[1] for card in machine.run(["ip", "-oneline", "-family", "inet", "address"]).stdout.splitlines()} == {"lo", "eth0"}
