"""Services on this machine: they outlive whoever deploys them, are adopted and found again, and leave nothing."""

import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from airflow_batchinfer.deployment import deploying, record
from airflow_batchinfer.deployment.local import services
from airflow_batchinfer.deployment.states import State
from airflow_batchinfer.deployment.targets import LocalTarget
from airflow_batchinfer.errors import ConfigError, DeploymentError, ScriptError, StorageError
from tests.integration.deployed import NAME, RAISES, Callers, Deployer, answers, waits
from tests.integration.lab import PROJECT
from tests.integration.leftovers import is_alive, marked_processes, wait_for_the_end, wait_until

pytestmark = pytest.mark.deploys

DEPLOYS = """
import sys, time
from pathlib import Path
from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.deployment.ordering import order_of
from airflow_batchinfer.deployment.targets import LocalTarget, open_target
from airflow_batchinfer.service.config import InferenceConfig, ServiceConfig
from airflow_batchinfer.workspace import Workspace
workspace, folder, name = Workspace.at(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
order = order_of(workspace, name, InferenceConfig(entry_script="given.py"), ServiceConfig(num_replicas=1), folder=folder)
number = deploying.begin(LocalTarget(), order, time.monotonic() + 60)
deploying.wait(open_target(LocalTarget(), workspace), name, number, time.monotonic() + 60, print)
print("deployed", flush=True)
time.sleep(600)
"""


def start_deploying(deployer: Deployer, script: str) -> "subprocess.Popen[str]":
    """Deploy from a process in a session of its own, as a task of Airflow is."""
    path = deployer.lab.script(script, "given.py")
    command = [sys.executable, "-c", DEPLOYS, deployer.lab.workspace_url, str(path.parent), NAME]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_a_service_outlives_who_deployed_it_and_is_found_by_its_name(deployer: Deployer):
    with start_deploying(deployer, answers(1)) as process:
        assert process.stdout
        assert "deployed\n" in iter(process.stdout.readline, "")
        os.killpg(process.pid, signal.SIGKILL)
    assert deployer.ask().value["revision"] == 1
    assert deployer.status().state is State.HEALTHY


def test_who_is_killed_at_any_moment_of_deploying_leaves_what_the_next_one_can_go_on_with(deployer: Deployer):
    moments = random.Random(7)
    for _ in range(5):
        with start_deploying(deployer, answers(1)) as process:
            # Importing takes 0.4 s of it, and the rest as long.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.3 + moments.random() * 0.7)
            os.killpg(process.pid, signal.SIGKILL)
    # What was begun may still come up: until then something else is a conflict.
    wait_until(lambda: (found := deployer.target.status(NAME)) is None or found.state is not State.TRANSITIONING, "it is quiet")
    assert deployer.deploy(answers(2)).state is State.HEALTHY
    assert deployer.ask().value["revision"] == 2
    assert not list((deployer.folder().path / "revisions").glob(".*"))


def test_when_the_guardian_is_killed_the_router_starts_another_and_goes_on(deployer: Deployer):
    deployer.deploy(answers(1))
    before = deployer.pids()
    with Callers(deployer, 2).calling() as callers:
        os.kill(before["guardian"], signal.SIGKILL)
        wait_until(lambda: deployer.pids().get("guardian") not in (None, before["guardian"]), "there is another guardian")
    assert deployer.pids()["router"] == before["router"]
    assert set(callers.revisions) == {1}


def test_when_the_router_is_killed_who_connects_meanwhile_waits_and_is_answered(deployer: Deployer):
    deployer.deploy(answers(1))
    before = deployer.pids()
    pid = deployer.ask().value["pid"]
    os.kill(before["router"], signal.SIGKILL)
    assert deployer.ask().value["revision"] == 1
    wait_until(lambda: len(deployer.pids()) == 2, "both live again")
    assert deployer.pids()["router"] != before["router"]
    assert not is_alive(pid)


def test_who_connects_while_a_router_starts_waits_for_its_first_replica_however_little_patience_the_service_has(deployer: Deployer):
    gate = deployer.lab.root / "gate"
    gate.touch()
    deployer.deploy(waits(gate, 1), max_request_wait_time=1)
    port, key, router = deployer.folder().read("address.json")["port"], deployer.target.keys(NAME)[0], deployer.pids()["router"]
    gate.unlink()
    os.kill(router, signal.SIGKILL)
    wait_for_the_end(router, 10)
    with socket.create_connection(("127.0.0.1", port), 30) as caller:
        caller.sendall(f"GET /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n".encode())
        wait_until(lambda: deployer.status().replicas_wanted == 1, "another router starts its replica")
        assert select.select([caller], [], [], 0.5) == ([], [], [])
        gate.touch()
        with caller.makefile("rb") as came:
            assert came.readline() == b"HTTP/1.1 200 OK\r\n"


def test_a_guardian_that_was_started_in_place_of_another_guards_too(deployer: Deployer):
    deployer.deploy(answers(1))
    before = deployer.pids()["guardian"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: deployer.pids().get("guardian") not in (None, before), "there is another guardian")
    for _ in range(2):
        os.kill(deployer.pids()["router"], signal.SIGKILL)
        assert deployer.ask().value["revision"] == 1


def test_when_all_its_processes_are_killed_it_is_unhealthy_until_it_is_deployed_again(deployer: Deployer):
    uri = deployer.deploy(answers(1)).scoring_uri
    keys = deployer.target.keys(NAME)
    before = deployer.pids()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    for pid in before.values():
        wait_for_the_end(pid, 10)
    status = wait_until(lambda: (found := deployer.status()).state is State.UNHEALTHY and found, "it is unhealthy")
    assert "deploy it again" in status.detail
    again = deployer.deploy(answers(1))
    assert (again.state, again.scoring_uri, deployer.target.keys(NAME)) == (State.HEALTHY, uri, keys)
    assert deployer.ask().value["revision"] == 1


def test_a_deployment_while_its_processes_end_starts_them_again_and_who_was_let_in_is_answered(deployer: Deployer):
    deployer.deploy(answers(1))
    came: list[int] = []
    caller = threading.Thread(target=lambda: came.append(deployer.ask("0.9").status))
    caller.start()
    wait_until(lambda: "running 1" in metrics(deployer), "the request runs")
    for pid in deployer.pids().values():
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: deployer.status().state is State.UNHEALTHY, "they end")
    assert deployer.deploy(answers(1)).state is State.HEALTHY
    caller.join()
    assert came == [200]
    assert deployer.ask().status == 200


def metrics(deployer: Deployer) -> str:
    url = deployer.status().scoring_uri.replace("/score", "/metrics")
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {deployer.target.keys(NAME)[0]}"})  # noqa: S310 - our own
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - as above
        return answer.read().decode()


def test_a_router_that_hangs_is_replaced(deployer: Deployer):
    deployer.deploy(answers(1), period_seconds=1, timeout_seconds=1, failure_threshold=1)
    router = deployer.pids()["router"]
    os.kill(router, signal.SIGSTOP)
    wait_for_the_end(router, 20)
    assert deployer.ask().value["revision"] == 1


def test_a_router_that_is_killed_while_a_revision_comes_up_brings_it_up_again(deployer: Deployer):
    gate = deployer.lab.root / "gate"
    deployer.deploy(answers(1))
    number = deployer.begin(waits(gate, 2))
    os.kill(deployer.pids()["router"], signal.SIGKILL)
    assert deployer.ask().value["revision"] == 1
    gate.touch()
    assert deploying.wait(deployer.target, NAME, number, time.monotonic() + 30, lambda _: None).revision == number
    assert deployer.ask().value["revision"] == 2


def test_what_cannot_be_started_again_is_unhealthy_tried_again_and_may_be_updated(deployer: Deployer):
    broken = deployer.lab.root / "broken"
    deployer.deploy(f"import os\ndef init():\n    assert not os.path.exists({str(broken)!r}), 'no disk'\n" + answers(1))
    broken.touch()
    os.kill(deployer.pids()["router"], signal.SIGKILL)
    status = wait_until(lambda: "cannot be started again" in (found := deployer.status()).detail and found, "it says why")
    assert status.state is State.UNHEALTHY
    assert "no disk" in status.detail
    assert deployer.deploy(answers(2)).state is State.HEALTHY
    assert deployer.ask().value["revision"] == 2


def may_not_start_while(there: Path) -> str:
    """A script that comes up only while this file is not there."""
    return f"import os\ndef init():\n    while os.path.exists({str(there)!r}):\n        time.sleep(0.01)\n" + answers(1)


def test_what_served_before_comes_back_also_if_a_revision_is_taken_back_while_both_come_up(deployer: Deployer):
    gate = deployer.lab.root / "gate"
    deployer.deploy(may_not_start_while(gate))
    deployer.begin(waits(deployer.lab.root / "never", 2))
    gate.touch()
    router = deployer.pids()["router"]
    os.kill(router, signal.SIGKILL)
    wait_for_the_end(router, 10)
    wait_until(lambda: "revision 1 comes up: 0 of 1" in deployer.status().detail, "revision 1 starts again")
    deployer.target.rollback(NAME)
    gate.unlink()
    status = wait_until(lambda: (found := deployer.status()).state is State.HEALTHY and found, "revision 1 serves again")
    assert (status.revision, status.wanted) == (1, 1)
    assert deployer.ask().value["revision"] == 1


def test_what_cannot_be_started_again_is_tried_again_when_an_update_in_its_place_has_failed(deployer: Deployer):
    broken = deployer.lab.root / "broken"
    deployer.deploy(f"import os\ndef init():\n    assert not os.path.exists({str(broken)!r}), 'no disk'\n" + answers(1))
    broken.touch()
    os.kill(deployer.pids()["router"], signal.SIGKILL)
    wait_until(lambda: "no disk" in deployer.status().detail, "it cannot be started again")
    with pytest.raises(ScriptError, match="revision 2"):
        deployer.deploy(RAISES)
    broken.unlink()
    wait_until(lambda: deployer.status().state is State.HEALTHY, "revision 1 serves again")
    assert deployer.ask().value["revision"] == 1


def test_who_waits_for_a_service_whose_processes_are_killed_is_told_so_at_once(deployer: Deployer):
    number = deployer.begin(waits(deployer.lab.root / "never", 1))
    for pid in deployer.pids().values():
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(DeploymentError, match=r"Unhealthy before revision 1 serves: its processes are gone"):
        deploying.wait(deployer.target, NAME, number, time.monotonic() + 30, lambda _: None)


def test_a_first_deployment_that_comes_to_nothing_leaves_nothing(deployer: Deployer):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="cannot be listened on"):
        Deployer(deployer.lab, LocalTarget(port=taken.getsockname()[1])).begin(answers(1))
    assert not record.names(deployer.workspace)
    assert not list((deployer.lab.root / "cache" / "services").iterdir())


def test_a_service_can_be_deleted_while_a_revision_comes_up_or_its_router_hangs(deployer: Deployer):
    deployer.begin(waits(deployer.lab.root / "never", 1))
    assert deployer.delete()
    deployer.deploy(answers(1), period_seconds=600)
    os.kill(deployer.pids()["guardian"], signal.SIGSTOP)
    os.kill(deployer.pids()["router"], signal.SIGKILL)
    assert deployer.delete()
    wait_until(lambda: not [pid for pid in marked_processes(deployer.lab.mark) if pid != os.getpid()], "nothing is left")


def test_a_service_whose_guardian_hangs_and_whose_router_is_dead_is_started_by_the_next_deployment(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
):
    uri = deployer.deploy(answers(1)).scoring_uri
    os.kill(deployer.pids()["guardian"], signal.SIGSTOP)
    os.kill(deployer.pids()["router"], signal.SIGKILL)
    monkeypatch.setattr(services, "START_SECONDS", 3.0)
    assert deployer.deploy(answers(2)).scoring_uri == uri
    assert deployer.ask().value["revision"] == 2


def test_processes_on_a_socket_that_somebody_has_replaced_end_and_the_next_deployment_answers(deployer: Deployer):
    deployer.deploy(answers(1), period_seconds=1)
    path = deployer.folder().path / "address.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "socket": 1}))
    wait_until(lambda: not deployer.pids(), "both have ended")
    assert deployer.deploy(answers(1)).state is State.HEALTHY
    assert deployer.ask().value["revision"] == 1


def test_when_its_folder_is_deleted_by_hand_its_processes_end(deployer: Deployer):
    deployer.deploy(answers(1))
    shutil.rmtree(deployer.folder().path)
    wait_until(lambda: not [pid for pid in marked_processes(deployer.lab.mark) if pid != os.getpid()], "nothing is left")
    assert not deployer.folder().path.exists()
    assert deployer.deploy(answers(2)).revision == 1


def test_a_revision_that_cannot_be_kept_on_a_full_disk_gets_no_request_and_the_one_before_goes_on(deployer: Deployer):
    gate, anything = deployer.lab.root / "gate", resource.RLIM_INFINITY
    deployer.deploy(answers(1))
    number = deployer.begin(waits(gate, 2))
    router = deployer.pids()["router"]
    resource.prlimit(router, resource.RLIMIT_FSIZE, (0, anything))
    gate.touch()
    with pytest.raises(ScriptError, match=r"File too large at .*course\.json"):
        deploying.wait(deployer.target, NAME, number, time.monotonic() + 30, lambda _: None)
    with pytest.raises(DeploymentError, match="File too large"):
        deployer.begin(answers(3))
    status = deployer.status()
    assert (status.state, status.revision, status.wanted) == (State.HEALTHY, 1, 1)
    assert deployer.ask().value["revision"] == 1
    resource.prlimit(router, resource.RLIMIT_FSIZE, (anything, anything))
    assert deployer.deploy(answers(3)).state is State.HEALTHY
    assert deployer.ask().value["revision"] == 3


def test_a_service_can_be_deleted_when_its_router_can_write_nothing(deployer: Deployer):
    deployer.deploy(answers(1))
    resource.prlimit(deployer.pids()["router"], resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    router = deployer.pids()["router"]
    assert deployer.delete()
    assert not is_alive(router)
    assert not list((deployer.lab.root / "cache" / "services").iterdir())


def test_what_cannot_be_brought_for_lack_of_space_is_told_and_takes_none(deployer: Deployer):
    deployer.deploy(answers(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    order = deployer.order(answers(2) + "#" * 100_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StorageError, match=r"File too large at .*: raise the limit"):
            deploying.begin(deployer.asked, order, time.monotonic())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(deployer.folder().path / "revisions") == ["1"]
    assert deployer.ask().value["revision"] == 1


def test_what_is_known_of_a_service_and_makes_no_sense_is_told_with_what_to_do(deployer: Deployer):
    deployer.deploy(answers(1))
    (deployer.folder().path / "course.json").write_text("{")
    with pytest.raises(StorageError, match="delete the service, and deploy it again"):
        deployer.begin(answers(2))
    assert deployer.delete()


def test_after_delete_neither_a_process_nor_a_file_is_left(deployer: Deployer):
    deployer.deploy(answers(1), num_replicas=2)
    deployer.deploy(answers(2))
    (deployer.lab.root / "cache" / "services" / ".of-a-deletion-that-was-killed").mkdir()
    deployer.delete()
    assert not list((deployer.lab.root / "cache" / "services").iterdir())
    assert not record.names(deployer.workspace)
    assert not [pid for pid in marked_processes(deployer.lab.mark) if pid != os.getpid()]


def test_old_revisions_and_their_models_are_removed(deployer: Deployer):
    for number in range(1, 4):
        deployer.deploy(answers(number))
    assert deployer.folder().revisions() == [2, 3]
    for _ in range(2):
        with pytest.raises(ScriptError):
            deployer.deploy(RAISES)
    assert deployer.folder().revisions() == [2, 3, 5]


def test_a_router_of_another_version_is_replaced_and_nobody_is_refused(deployer: Deployer, monkeypatch: pytest.MonkeyPatch):
    deployer.deploy(answers(1))
    router = deployer.pids()["router"]
    for module in (deploying, services):
        monkeypatch.setattr(module, "VERSION", "another")
    number = deployer.begin(answers(1))
    assert deploying.wait(deployer.target, NAME, number, time.monotonic() + 30, lambda _: None).revision == 2
    assert deployer.pids()["router"] != router
    assert deployer.ask().status == 200
