"""What a service has of its machine, and what it keeps to itself: where it listens, its keys, its place, its GPUs."""

import json
import os
import socket
import ssl
import stat
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from airflow_batchinfer.deployment import deploying, record
from airflow_batchinfer.deployment.states import State
from airflow_batchinfer.deployment.targets import LocalTarget
from airflow_batchinfer.environments.gpus import lock_gpus
from airflow_batchinfer.errors import ConfigError, ConflictError, DeploymentError, ScriptError
from tests.integration.deployed import NAME, RAISES, Deployer, answers, waits
from tests.integration.lab import Lab
from tests.integration.leftovers import wait_until

pytestmark = pytest.mark.deploys


def test_a_port_that_is_given_is_taken_or_told_to_be_taken(lab: Lab):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        deployer = Deployer(lab, LocalTarget(port=port))
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be listened on"):
            deployer.deploy(answers(1))
    assert deployer.deploy(answers(1)).scoring_uri == f"http://127.0.0.1:{port}/score"
    other = Deployer(lab, LocalTarget(port=port + 1))
    for script in (answers(2), answers(1), answers(1)):  # also if nothing else is changed, and also a second time
        with pytest.raises(ConflictError, match="cannot be changed while it lives"):
            other.deploy(script)
    deployer.delete()


def test_with_a_certificate_it_speaks_https(lab: Lab):
    certificate, key = lab.root / "cert.pem", lab.root / "key.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-days",
        "1",
    ]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    deployer = Deployer(lab, LocalTarget(tls_certificate=str(certificate), tls_key=str(key)))
    status = deployer.deploy(answers(1))
    asked = urllib.request.Request(  # noqa: S310 - our own
        status.scoring_uri, b"x", {"Authorization": f"Bearer {deployer.target.keys(NAME)[0]}"}
    )
    with urllib.request.urlopen(asked, context=ssl.create_default_context(cafile=str(certificate)), timeout=30) as answer:  # noqa: S310 - as above
        assert json.load(answer)["revision"] == 1
    certificate.unlink()
    with pytest.raises(ConfigError, match=r"the certificate .* cannot be used"):
        deployer.begin(answers(2))
    deployer.delete()


def test_a_service_without_keys_is_opened_to_others_only_if_that_is_said_twice(lab: Lab):
    with pytest.raises(ConfigError, match="open_without_keys=True"):
        Deployer(lab, LocalTarget(host="0.0.0.0")).deploy(answers(1), auth_enabled=False)  # noqa: S104 - the point of it
    deployer = Deployer(lab, LocalTarget(host="0.0.0.0", open_without_keys=True))  # noqa: S104 - as above
    assert socket.gethostname() in str(deployer.deploy(answers(1), auth_enabled=False).scoring_uri)
    deployer.delete()


def test_what_this_machine_cannot_give_is_refused_at_once_with_every_reason(deployer: Deployer):
    with pytest.raises(ConfigError) as refused:
        deployer.begin(answers(1), cpu_cores=1000, gpu_cores=1, cpu_cores_limit=1000.5, namespace="shop")
    assert [fault.split("=")[0] for fault in refused.value.faults] == ["cpu_cores", "gpu_cores", "cpu_cores_limit", "namespace"]


def test_its_processes_have_none_of_airflow_s_secrets_and_its_keys_only_their_owner_reads(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "a-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    deployer.deploy("import os\ndef run(raw):\n    return [name for name, value in os.environ.items() if value == 'a-secret']")
    assert deployer.ask().value == []
    for pid in deployer.pids().values():
        assert b"a-secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    folder = deployer.folder()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.path, folder.keys)] == [0o700, 0o600]


def test_keys_that_are_replaced_while_others_are_to_count_with_the_next_revision_are_not_lost(deployer: Deployer):
    gate = deployer.lab.root / "gate"
    deployer.deploy(answers(1))
    number = deployer.begin(waits(gate, 2), primary_key="given-key-0123456789", auth_enabled=True)
    deployer.target.regenerate(NAME, 1, "another-key-0123456789")
    gate.touch()
    deploying.wait(deployer.target, NAME, number, time.monotonic() + 30, lambda _: None)
    assert deployer.target.keys(NAME) == ("given-key-0123456789", "another-key-0123456789")
    assert [deployer.ask(key=key).status for key in deployer.target.keys(NAME)] == [200, 200]


def test_the_keys_of_what_serves_are_told_while_a_revision_without_keys_comes_up_or_has_failed(deployer: Deployer):
    deployer.deploy(answers(1))
    keys = deployer.target.keys(NAME)
    with pytest.raises(ScriptError):
        deployer.deploy(RAISES, auth_enabled=False, rollback_on_failure=False)
    assert deployer.target.keys(NAME) == keys


def test_a_key_file_that_makes_no_sense_is_told_and_made_anew(deployer: Deployer):
    deployer.deploy(answers(1))
    deployer.folder().keys.write_text("short\n")
    with pytest.raises(DeploymentError, match="holds no key: regenerate both"):
        deployer.target.keys(NAME)
    deployer.target.regenerate(NAME, 0, None)
    assert [deployer.ask(key=key).status for key in deployer.target.keys(NAME)] == [200, 200]


def test_a_service_on_another_machine_is_told_with_its_place_and_can_be_forgotten(deployer: Deployer):
    order = deployer.order(answers(1))
    record.note(deployer.workspace, record.Record.of(order, "local on elsewhere", deployer.asked))
    for operation in (lambda: deployer.begin(answers(1)), deployer.delete, lambda: deploying.status_of(deployer.workspace, NAME)):
        with pytest.raises(ConflictError, match="runs local on elsewhere, and this is local on"):
            operation()
    assert deploying.delete(deployer.workspace, NAME, forget=True)
    assert deployer.deploy(answers(1)).state is State.HEALTHY


def test_a_service_of_another_user_or_cache_is_neither_forgotten_nor_started_a_second_time(
    deployer: Deployer, monkeypatch: pytest.MonkeyPatch
):
    deployer.deploy(answers(1))
    with monkeypatch.context() as other:
        other.setenv("BATCHINFER_CACHE", str(deployer.lab.root / "other"))
        for operation in (lambda: deployer.begin(answers(1)), deployer.delete, lambda: deploying.status_of(deployer.workspace, NAME)):
            with pytest.raises(ConflictError, match="do it as the user who deployed it"):
                operation()
    assert deployer.ask().value["revision"] == 1


# GPUs.


@pytest.fixture
def two_gpus(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ids that nothing else of this machine uses."""
    gpus = ",".join(f"GPU-{os.getpid()}-{number}" for number in range(2))
    monkeypatch.setenv("BATCHINFER_GPUS", gpus)
    return gpus


SHOWS_ITS_GPU = "import os\ndef run(raw):\n    return {'revision': REVISION, 'gpus': os.environ['CUDA_VISIBLE_DEVICES']}"


def test_a_replica_gets_gpus_of_its_own_and_one_that_asks_for_none_sees_none(two_gpus: str, deployer: Deployer):
    deployer.deploy(SHOWS_ITS_GPU.replace("REVISION", "1"), gpu_cores=2)
    assert deployer.ask().value["gpus"] == two_gpus
    deployer.deploy(SHOWS_ITS_GPU.replace("REVISION", "1"), name="without")
    assert deployer.ask(name="without").value["gpus"] == ""


def test_replicas_without_a_gpu_are_unschedulable_until_there_is_one(two_gpus: str, deployer: Deployer):
    (job,) = lock_gpus(two_gpus.split(","), 1)
    number = deployer.begin(SHOWS_ITS_GPU.replace("REVISION", "1"), gpu_cores=1, num_replicas=2)
    status = wait_until(
        lambda: (found := deployer.status()).state is State.UNSCHEDULABLE and found.replicas_ready and found, "one replica has no GPU"
    )
    assert (status.replicas_ready, status.replicas_wanted) == (1, 2)
    assert "1 of them finds too few free GPUs" in status.detail
    assert deployer.ask().value["gpus"] == two_gpus.split(",")[1]
    job.release()
    assert deploying.wait(deployer.target, NAME, number, time.monotonic() + 30, lambda _: None).replicas_ready >= 1
    wait_until(lambda: deployer.status().replicas_ready == 2, "both have one")


@pytest.mark.parametrize("replicas", [1, 2])
def test_where_no_gpu_is_to_spare_the_old_revision_makes_room_and_a_failing_new_one_gives_it_back(
    two_gpus: str, deployer: Deployer, replicas: int
):
    each = 2 // replicas
    script = SHOWS_ITS_GPU.replace("REVISION", "1")
    deployer.deploy(script, gpu_cores=each, num_replicas=replicas)
    with pytest.raises(ScriptError, match=r"revision 2 .*revision 1 goes on serving"):
        deployer.deploy(RAISES, gpu_cores=each, num_replicas=replicas)
    wait_until(lambda: deployer.status().replicas_ready == replicas, "the old revision is whole again")
    status = deployer.deploy(script.replace("1", "3", 1), gpu_cores=each, num_replicas=replicas)
    assert (status.state, status.revision) == (State.HEALTHY, 3)
    wait_until(lambda: deployer.status().replicas_ready == replicas, "the new revision is whole")
    assert deployer.ask().value["gpus"] in (two_gpus, *two_gpus.split(","))
