"""Airflow takes us for a provider: by its own schema, its own manager, and its own command line."""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airflow_batchinfer.hooks.workspace import WorkspaceHook
from airflow_batchinfer.provider import get_provider_info
from airflow_batchinfer.provider.command import run
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.workspace import ENVIRONMENT_VARIABLE, Workspace
from tests.contract.airflow_connections import SECRET, Connect, airflow_connections
from tests.contract.conftest import BUCKET
from tests.faults.s3_server import S3Server

PROJECT = Path(__file__).parents[2]
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    with airflow_connections(monkeypatch) as connect:
        yield connect


def test_airflow_s_own_schema_takes_what_we_say_of_ourselves():
    schema = json.loads(Path(airflow.__file__).with_name("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_the_entry_point_leads_to_what_we_say_of_ourselves():
    (found,) = distribution("airflow-batchinfer").entry_points.select(group="apache_airflow_provider")
    assert found.load() is get_provider_info


def test_airflow_s_manager_of_providers_finds_the_connection_type_with_its_form():
    manager = ProvidersManagerTaskRuntime()
    hook = manager.hooks["batchinfer"]
    assert (hook.hook_class_name, hook.connection_type) == (f"{WorkspaceHook.__module__}.WorkspaceHook", "batchinfer")
    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    assert set(fields) == {"root", "storage_conn_id"}
    assert all(field["label"] and field["description"] for field in fields.values())


def test_what_we_say_of_the_hook_is_what_the_hook_says():
    (said,) = get_provider_info()["connection-types"]
    assert (said["connection-type"], said["hook-name"]) == (WorkspaceHook.conn_type, WorkspaceHook.hook_name)


class Shell:
    """Airflow's command line, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_CONN_", "BATCHINFER_"))}
        return subprocess.run(
            [Path(sys.executable).with_name("airflow"), *arguments],
            env={**ours, "AIRFLOW_HOME": str(self.home), **variables},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("home"))


def test_airflow_lists_us_among_its_providers(shell: Shell):
    said = shell("providers", "list", "--output", "plain")
    assert said.returncode == 0, said.stderr
    assert any(line.startswith("airflow-batchinfer") for line in said.stdout.splitlines())


@pytest.mark.services
def test_airflow_s_command_line_shows_the_models_and_jobs_of_the_workspace_under_its_home(shell: Shell):
    for what, nothing in (("models", "no models are registered"), ("jobs", "no jobs")):
        said = shell("batchinfer", what, "list")
        assert (said.returncode, said.stdout) == (0, f"{nothing}\n"), said.stderr
        assert "the workspace is" in said.stderr
    assert not (shell.home / "batchinfer").exists()


@pytest.mark.services
def test_a_workspace_named_by_a_connection_in_airflow_s_database_is_found(tmp_path: Path):
    shell = Shell(tmp_path / "home")
    (tmp_path / "model.txt").write_text("weights")
    ModelRegistry(Workspace.at(str(tmp_path / "ws"))).register("mnist", str(tmp_path / "model.txt"))
    extra = json.dumps({"root": str(tmp_path / "ws")})
    for arguments in (("db", "migrate"), ("connections", "add", "batchinfer_default", "--conn-type", "batchinfer", "--conn-extra", extra)):
        said = shell(*arguments)
        assert said.returncode == 0, said.stderr
    said = shell("batchinfer", "models", "list")
    assert "mnist:1" in said.stdout, said.stderr


@pytest.fixture
def command(connect: Connect, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """`airflow batchinfer ...` in this process: the exit code, and what it said."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")  # so that it is taken back
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "")
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    before = signal.getsignal(signal.SIGTERM)

    def command(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as raised:
            run(argparse.Namespace(arguments=list(arguments)))
        said = capsys.readouterr()
        return int(raised.value.code or 0), said.out + said.err

    yield command
    signal.signal(signal.SIGTERM, before)


def test_what_is_wrong_with_the_connection_is_said_in_a_line(connect: Connect, command: Command):
    connect("batchinfer_default", "aws")
    code, said = command("models", "list")
    assert (code, said.startswith("batchinfer: the connection 'batchinfer_default' names no workspace")) == (2, True)


def test_connections_are_known_also_where_the_workspace_is_named_otherwise(
    connect: Connect, command: Command, s3: S3Server, monkeypatch: pytest.MonkeyPatch
):
    connect("store", "aws", login="test-key", password=SECRET, extra={"endpoint_url": s3.url, "region_name": "us-east-1"})
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"s3://store@{BUCKET}/of-the-environment")
    assert command("models", "list") == (0, "no models are registered\n")
    connect("batchinfer_default", extra={"root": "/elsewhere"})
    assert command("models", "list", "--workspace", f"s3://store@{BUCKET}/of-the-option") == (0, "no models are registered\n")


def test_without_a_word_the_command_says_what_there_is(connect: Connect, command: Command, tmp_path: Path):
    connect("batchinfer_default", extra={"root": str(tmp_path)})
    code, said = command()
    assert (code, "models" in said, "jobs" in said) == (0, True, True)
