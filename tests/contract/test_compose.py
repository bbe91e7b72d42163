"""docker-compose.yaml is sound, and says the same as what stands beside it. That it works is shown in tests/services/cluster."""

import base64
import json
import os
import re
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.celery.get_provider_info import get_provider_info
from check_jsonschema.builtin_schemas import get_builtin_schema
from jsonschema.validators import validator_for

from airflow_batchinfer.environments.gpus import lock_gpus
from tests.faults.azurite import KEY
from tests.services.cluster.compose import FILE, Service, read
from tests.services.cluster.images import command_of, environment_of
from tests.services.cluster.machine import DISK
from tests.services.cluster.settings import ENVIRONMENT, OF_A_SERVICE

ROOT = FILE.parent
SAID = yaml.safe_load(FILE.read_text())
SERVICES = read()
OURS = [name for name, service in SERVICES.items() if service.image.startswith("airflow-batchinfer:")]
KUBERNETES = (ROOT / "docs" / "howto" / "run-on-kubernetes.md").read_text()


# The specification, as check-jsonschema carries it.


def faults(said: dict[str, Any]) -> list[str]:
    schema = get_builtin_schema("vendor.compose-spec")
    return [f"{error.json_path}: {error.message}" for error in validator_for(schema)(schema).iter_errors(said)]


def test_the_file_is_one_of_the_compose_specification():
    assert faults(SAID) == []


@pytest.mark.parametrize(
    ("name", "value"), [("comand", ["x"]), ("restart", 5), ("healthcheck", {"tests": []}), ("deploy", {"resources": {"reservation": {}}})]
)
def test_a_word_that_the_specification_does_not_know_would_be_found(name: str, value: object):
    assert faults({**SAID, "services": {"worker": {**SAID["services"]["worker"], name: value}}})


# What must be there.


def test_each_service_of_the_cluster_is_there():
    around = {"postgres", "redis", "azurite", "airflow-init"}
    assert set(SERVICES) == around | {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "worker-gpu"}


def test_every_service_but_the_one_that_ends_has_a_health_check_and_is_restarted():
    ends = SERVICES["airflow-init"]
    assert (ends.health_command, ends.restart) == ((), "no")
    for service in SERVICES.values():
        assert service is ends or (service.health_command and service.restart == "unless-stopped"), service.name


def test_every_image_is_pinned_to_a_version():
    for service in SERVICES.values():
        assert re.search(r":\d+\.\d+\.\d+(-\w+)?$|:\d+\.\d+-\w+$", service.image), service.image


def test_the_image_is_of_the_airflow_that_the_tests_run_in_and_the_tag_says_so():
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    assert re.search(r"^FROM apache/airflow:([\d.]+)-python3\.1[123]$", dockerfile, re.MULTILINE)[1] == version("apache-airflow")
    assert {SERVICES[name].image for name in OURS} == {f"airflow-batchinfer:{version('apache-airflow')}"}


def test_azurite_is_the_one_that_the_tests_install():
    installed = re.search(r"^AZURITE_VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert SERVICES["azurite"].image.endswith(f"/azurite:{installed}")


def test_what_the_image_is_built_from_is_in_the_checkout_and_not_ignored():
    copied = re.findall(r"^COPY --chown=\S+ (.+) \S+$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    kept = {line[1:] for line in (ROOT / "docker" / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == kept
    assert all((ROOT / source).exists() for source in sources)


def test_only_the_gpu_workers_reserve_gpus_and_serve_the_queue_and_the_pool_that_the_lessons_name():
    reserving = [name for name, said in SAID["services"].items() if "deploy" in said]
    assert reserving == ["worker-gpu"]
    [device] = SAID["services"]["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    [(pool, queue)] = {
        target for lesson in (ROOT / "dags").glob("0*.py") for target in re.findall(r'pool="(\w+)", queue="(\w+)"', lesson.read_text())
    }
    assert SERVICES["worker-gpu"].command[-2:] == ["--queues", queue]
    assert f"airflow pools set {pool} " in SERVICES["airflow-init"].command[-1]


def test_a_machine_without_gpus_starts_all_but_what_reserves_them():
    for name, said in SAID["services"].items():
        assert said.get("profiles", []) == (["gpu"] if "deploy" in said else []), name


def test_the_pool_lets_no_more_nodes_in_than_the_gpu_workers_run_at_once():
    [slots] = re.findall(r"airflow pools set gpu_pool (\d+) ", SERVICES["airflow-init"].command[-1])
    replicas = SAID["services"]["worker-gpu"]["deploy"].get("replicas", 1)
    assert 1 <= int(slots) <= replicas * int(SERVICES["worker-gpu"].environment["AIRFLOW__CELERY__WORKER_CONCURRENCY"])


def test_a_worker_that_is_stopped_is_let_end_its_tasks():
    workers = [name for name in OURS if SERVICES[name].command[:3] == ["airflow", "celery", "worker"]]
    assert workers == ["worker", "worker-gpu"]
    for name in workers:
        assert SERVICES[name].environment["DUMB_INIT_SETSID"] == "0"
        assert SAID["services"][name]["stop_grace_period"] == "2m"


def test_the_image_has_the_celery_that_the_tests_have():
    [bound] = re.findall(r'"celery(<[\d.]+)"', (ROOT / "docker" / "Dockerfile").read_text())
    assert re.findall(r'"celery(<[\d.]+)"', (ROOT / "pyproject.toml").read_text()) == [bound]


def test_the_gpu_workers_of_one_machine_share_the_folder_with_the_locks_of_its_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    [lock] = lock_gpus(["0"], 1)
    lock.release()
    [folder] = os.listdir(tmp_path)
    assert ("gpu-locks", f"/tmp/{folder}") in SERVICES["worker-gpu"].volumes
    assert f"mkdir --mode 1777 /tmp/{folder}\n" in (ROOT / "docker" / "Dockerfile").read_text()


# Every setting is one that Airflow knows.


def known_settings() -> set[str]:
    [package] = find_spec("airflow").submodule_search_locations
    of_airflow = yaml.safe_load(Path(package, "config_templates", "config.yml").read_text())
    sections = [*of_airflow.items(), *get_provider_info()["config"].items()]
    return {f"AIRFLOW__{section}__{option}".upper() for section, said in sections for option in said["options"]}


def airflow_settings() -> Iterator[str]:
    for name in OURS:
        yield from (variable for variable in SERVICES[name].environment if variable.startswith("AIRFLOW__"))
    for changed in (ENVIRONMENT, *OF_A_SERVICE.values()):
        yield from (variable for variable in changed if variable.startswith("AIRFLOW__"))
    for section, options in values_of_the_chart()["config"].items():
        yield from (f"AIRFLOW__{section}__{option}".upper() for option in options)


def values_of_the_chart() -> dict[str, Any]:
    """What the howto for Kubernetes gives to the Helm chart."""
    return yaml.safe_load(re.search(r"^```yaml\n(.*?)^```", KUBERNETES, re.MULTILINE | re.DOTALL)[1])


def test_every_setting_of_airflow_is_one_that_airflow_knows():
    assert set(airflow_settings()) - known_settings() == set()


def test_kubernetes_gets_the_settings_that_compose_has():
    environment = SERVICES["worker"].environment
    for section, options in values_of_the_chart()["config"].items():
        for option, value in options.items():
            assert environment[f"AIRFLOW__{section}__{option}".upper()] == str(value)


def test_every_secret_that_the_chart_is_told_of_is_made_by_a_command_of_the_howto_with_its_keys():
    made = {
        name: set(re.findall(r"--from-literal=([\w-]+)=", keys))
        for name, keys in re.findall(r"^kubectl create secret generic (\S+)((?:.*\\\n)+.*)", KUBERNETES, re.MULTILINE)
    }
    chart = values_of_the_chart()
    told = {(one["secretName"], one["secretKey"]) for one in chart["secret"]}
    told.add((chart["data"]["metadataSecretName"], "connection"))
    keys = {"fernetKeySecretName": "fernet-key", "apiSecretKeySecretName": "api-secret-key", "jwtSecretName": "jwt-secret"}
    told |= {(chart[option], key) for option, key in keys.items()}
    assert told == {(name, key) for name, keys in made.items() for key in keys}


# No secret.


def test_every_secret_of_the_file_is_one_that_everybody_knows_and_the_file_says_so():
    text = FILE.read_text()
    assert "FOR DEVELOPMENT. Every password and key in this file is public" in text
    environment = SERVICES["worker"].environment
    assert base64.urlsafe_b64decode(environment["AIRFLOW__CORE__FERNET_KEY"]) == b"development-only-not-a-secret!!!"
    secret = {name: value for name, value in environment.items() if re.search(r"SECRET|PASSWORD", name)}
    assert len(secret) == 2
    assert all(value.startswith("development-only-not-a-secret-") for value in secret.values())
    assert set(re.findall(r"AccountKey=([^;]+);", text)) == {KEY}
    assert re.findall(r"://(\w+):(\w+)@", text) == [("airflow", "airflow")]
    assert SERVICES["postgres"].environment == {"POSTGRES_USER": "airflow", "POSTGRES_PASSWORD": "airflow", "POSTGRES_DB": "airflow"}


def test_what_is_published_is_published_on_this_machine_only():
    published = [port for said in SAID["services"].values() for port in said.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


# The cluster of the tests runs the file.


@pytest.mark.parametrize("service", [SERVICES[name] for name in OURS], ids=lambda service: service.name)
def test_the_cluster_of_the_tests_runs_our_services_word_by_word(service: Service):
    assert command_of(service) == service.command
    assert environment_of(service).items() >= service.environment.items()


@pytest.mark.parametrize("name", ["postgres", "redis", "azurite"])
def test_the_cluster_of_the_tests_runs_the_other_services_with_their_words_and_only_paths_are_others(name: str):
    command = command_of(SERVICES[name])
    words = [word.removeprefix(DISK) for word in command]
    begin = len(words) - len(SERVICES[name].command)
    assert any(words[start : start + len(SERVICES[name].command)] == SERVICES[name].command for start in range(begin + 1))


def test_what_the_tests_change_is_a_setting_of_the_file_or_says_which_gpus_a_machine_has():
    of_the_file = {name for service in SERVICES.values() for name in service.environment}
    detection = "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL"
    changed = {*ENVIRONMENT, *(name for of_one in OF_A_SERVICE.values() for name in of_one)}
    assert changed - of_the_file == {"BATCHINFER_GPUS", detection}


def test_connections_of_the_file_are_json_that_names_our_storage():
    environment = SERVICES["worker"].environment
    workspace = json.loads(environment["AIRFLOW_CONN_BATCHINFER_DEFAULT"])
    assert (workspace["conn_type"], workspace["extra"]["storage_conn_id"]) == ("batchinfer", "azurite")
    assert "BlobEndpoint=http://azurite:10000/" in json.loads(environment["AIRFLOW_CONN_AZURITE"])["extra"]["connection_string"]


def test_a_file_that_says_what_the_cluster_of_the_tests_does_not_do_is_refused(tmp_path: Path):
    file = tmp_path / "compose.yaml"
    file.write_text("services: {a: {image: b, command: [c], restart: 'no', network_mode: host}}")
    with pytest.raises(ValueError, match="a says network_mode"):
        read(file)
    file.write_text("services: {a: {image: b, command: ['$C'], restart: 'no'}}")
    with pytest.raises(ValueError, match="has a variable"):
        read(file)
