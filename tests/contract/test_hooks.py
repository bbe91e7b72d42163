"""What Airflow's connections mean to us: which workspace, and how a storage is opened."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_batchinfer.datasets import FileDataset
from airflow_batchinfer.engine.node import NodeOptions
from airflow_batchinfer.engine.scoring import begin, score
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.hooks.storage import open_file, use_airflow_connections
from airflow_batchinfer.hooks.workspace import WorkspaceHook, open_workspace, workspace_url
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.lines import read_line
from airflow_batchinfer.planning.plan import read_lines
from airflow_batchinfer.planning.planner import Request
from airflow_batchinfer.planning.stored import load_job, plan_prefix
from airflow_batchinfer.storage import connections, open_file_system, open_output
from tests.contract.airflow_connections import SECRET, Connect, airflow_connections
from tests.contract.conftest import BUCKET
from tests.faults.s3_server import S3Server


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    with airflow_connections(monkeypatch) as connect:
        yield connect


# The workspace.


def test_a_connection_of_our_type_names_the_workspace(connect: Connect, tmp_path: Path):
    connect("ws", extra={"root": str(tmp_path / "ws")})
    assert workspace_url(conn_id="ws") == str(tmp_path / "ws")
    assert WorkspaceHook("ws").get_conn().url == str(tmp_path / "ws")


def test_the_default_connection_counts_where_nothing_is_named(connect: Connect, tmp_path: Path):
    connect("batchinfer_default", extra={"root": str(tmp_path)})
    assert workspace_url() == workspace_url(conn_id="batchinfer_default") == str(tmp_path)
    assert WorkspaceHook().get_conn().url == str(tmp_path)


def test_a_url_counts_more_than_the_default_connection(connect: Connect, tmp_path: Path):
    connect("batchinfer_default", extra={"root": "/elsewhere"})
    assert workspace_url(str(tmp_path)) == str(tmp_path)
    assert open_workspace(str(tmp_path)).url == str(tmp_path)


def test_without_any_connection_the_workspace_is_a_folder_under_airflow_s_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    assert workspace_url() == str(tmp_path / "batchinfer")
    monkeypatch.delenv("AIRFLOW_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert workspace_url() == "/home/me/airflow/batchinfer"


def test_a_connection_that_is_named_and_not_there_is_an_error(connect: Connect):
    with pytest.raises(ConfigError, match="there is no connection 'nobody' in Airflow: add one of type batchinfer, or name another"):
        workspace_url(conn_id="nobody")


def test_a_connection_that_is_there_and_wrong_is_an_error_also_the_default_one(connect: Connect):
    connect("batchinfer_default", "aws", extra={"root": "/ws"})
    with pytest.raises(ConfigError, match="'batchinfer_default' names no workspace: its type must be batchinfer"):
        workspace_url()


@pytest.mark.parametrize(
    "extra", [None, {}, {"root": ""}, {"root": None}, {"root": 5}, {"root": ["/ws"]}, {"storage_conn_id": "x"}], ids=str
)
def test_a_connection_without_a_root_is_an_error(connect: Connect, extra: object):
    connect("ws", extra=extra)
    with pytest.raises(ConfigError, match="names no workspace"):
        workspace_url(conn_id="ws")


@pytest.mark.parametrize("root", ["ws", "./ws", "../ws", "file:ws", "None"])
def test_a_relative_root_is_an_error_since_every_worker_has_its_own_folders(connect: Connect, root: str):
    connect("ws", extra={"root": root})
    with pytest.raises(ConfigError, match="must be absolute"):
        workspace_url(conn_id="ws")
    with pytest.raises(ConfigError, match="must be absolute"):
        workspace_url(root)


@pytest.mark.parametrize(
    "root", ["/ws", "~/ws", "file:///ws", "s3://bucket/ws", "s3://conn@bucket/ws", "abfs://c@a.dfs.core.windows.net/ws"]
)
def test_a_root_that_is_the_same_everywhere_is_taken_as_it_is(connect: Connect, root: str):
    connect("ws", extra={"root": root})
    assert workspace_url(conn_id="ws") == workspace_url(root) == root


@pytest.mark.parametrize("storage", ["", None])
def test_an_empty_storage_connection_is_none(connect: Connect, storage: str | None):
    connect("ws", extra={"root": "s3://bucket/ws", "storage_conn_id": storage})
    assert workspace_url(conn_id="ws") == "s3://bucket/ws"


@pytest.mark.parametrize(
    ("root", "named"),
    [("s3://bucket/ws", "s3://store@bucket/ws"), ("abfs://container/ws", "abfs://store@container/ws"), ("gs://b", "gs://store@b")],
)
def test_the_storage_connection_stands_in_the_workspace_s_url(connect: Connect, root: str, named: str):
    connect("ws", extra={"root": root, "storage_conn_id": "store"})
    assert workspace_url(conn_id="ws") == named


@pytest.mark.parametrize("root", ["/ws", "file:///ws", "s3://other@bucket/ws", "abfs://c@a.dfs.core.windows.net/ws", "memory://ws"])
def test_a_root_that_takes_no_storage_connection_is_an_error_that_names_both(connect: Connect, root: str):
    connect("ws", extra={"root": root, "storage_conn_id": "store"})
    with pytest.raises(ConfigError, match=r"takes no storage connection 'store'; leave that empty"):
        workspace_url(conn_id="ws")


def test_a_url_and_a_connection_both_are_an_error():
    with pytest.raises(ConfigError, match="workspace='/ws' and workspace_conn_id='ws' are given both"):
        workspace_url("/ws", "ws")


def test_the_button_of_the_connection_s_form_says_whether_the_folder_can_hold_a_workspace(connect: Connect, tmp_path: Path):
    connect("good", extra={"root": str(tmp_path / "ws")})
    assert WorkspaceHook("good").test_connection() == (True, f"{tmp_path}/ws can hold a workspace")
    (tmp_path / "file").touch()
    connect("bad", extra={"root": str(tmp_path / "file" / "ws")})
    connect("unsound", extra={"root": "sftp://host/ws"})
    expected = {"bad": str(tmp_path / "file"), "unsound": "cannot create a file atomically", "nobody": "there is no connection"}
    for conn_id, told in expected.items():
        is_good, message = WorkspaceHook(conn_id).test_connection()
        assert not is_good
        assert told in message


# Storage.


def options(conn_id: str, url: str) -> dict[str, Any]:
    use_airflow_connections()
    return dict(connections.options_of(conn_id, url))


def test_an_aws_connection_becomes_s3fs_s_options(connect: Connect):
    extra = {"endpoint_url": "http://minio:9000", "region_name": "eu-west-1", "aws_session_token": "token-12345"}
    connect("store", "aws", login="AKIA12345", password=SECRET, extra=extra)
    expected = {
        "key": "AKIA12345",
        "secret": SECRET,
        "token": "token-12345",
        "endpoint_url": "http://minio:9000",
        "client_kwargs": {"region_name": "eu-west-1"},
    }
    assert options("store", "s3://b") == options("store", "s3a://b") == expected


@pytest.mark.parametrize("extra", [{"host": "http://minio:9000"}, {"host": "http://minio:9000", "endpoint_url": ""}, {}], ids=str)
def test_an_endpoint_may_stand_where_other_versions_of_the_provider_look_for_it(connect: Connect, extra: dict[str, str]):
    connect("store", "aws", host=None if extra else "http://minio:9000", extra=extra)
    assert options("store", "s3://b") == {"endpoint_url": "http://minio:9000"}


def test_keys_may_stand_in_an_aws_connection_s_extra_and_those_of_the_form_count_first(connect: Connect):
    keys = {"aws_access_key_id": "of-the-extra", "aws_secret_access_key": SECRET}
    connect("a", "aws", extra=keys)
    connect("b", "aws", login="of-the-form", password="password", extra=keys)
    assert options("a", "s3://b") == {"key": "of-the-extra", "secret": SECRET}
    assert options("b", "s3://b") == {"key": "of-the-form", "secret": "password"}


def test_an_aws_connection_without_anything_leaves_the_credentials_to_the_machine(connect: Connect):
    connect("store", "aws")
    assert options("store", "s3://b") == {}


def test_what_else_an_extra_holds_goes_to_the_file_system(connect: Connect):
    connect("store", "aws", extra={"anon": True, "client_kwargs": {"use_ssl": False}, "verify": False, "config_kwargs": {"a": 1}})
    found = options("store", "s3://b")
    assert found == {"anon": True, "client_kwargs": {"use_ssl": False, "verify": False}, "config_kwargs": {"a": 1}}


def test_a_wasb_connection_becomes_adlfs_s_options(connect: Connect):
    connect("store", "wasb", login="account", password=SECRET, extra={"sas_token": "sas-12345"})
    for protocol in ("abfs", "abfss", "az"):
        assert options("store", f"{protocol}://c") == {"account_name": "account", "account_key": SECRET, "sas_token": "sas-12345"}


def test_an_azure_connection_of_an_application_names_tenant_client_and_account(connect: Connect):
    host = "https://account.blob.core.windows.net/"
    expected = {
        "account_name": "account",
        "account_host": "account.blob.core.windows.net",
        "tenant_id": "tenant",
        "client_id": "client",
        "client_secret": SECRET,
    }
    connect("wasb", "wasb", login="client", password=SECRET, host=host, extra={"tenant_id": "tenant"})
    connect("adls", "adls", login="client", password=SECRET, extra={"tenant": "tenant", "account_name": "account"})
    assert options("wasb", "abfs://c") == expected
    assert options("adls", "abfs://c") == {name: value for name, value in expected.items() if name != "account_host"}


def test_azure_s_library_does_not_tell_every_request_in_the_log_unless_somebody_wants_that(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    requests = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
    monkeypatch.setattr(requests, "level", logging.NOTSET)
    connect("store", "wasb", login="account", password=SECRET)
    options("store", "abfs://c")
    assert requests.level == logging.WARNING
    monkeypatch.setattr(requests, "level", logging.DEBUG)
    options("store", "abfs://c")
    assert requests.level == logging.DEBUG


def test_an_azure_connection_string_goes_as_it_is(connect: Connect):
    connect("store", "wasb", extra={"connection_string": "AccountName=devstoreaccount1;"})
    assert options("store", "az://c") == {"connection_string": "AccountName=devstoreaccount1;"}


@pytest.mark.parametrize("key", [{"type": "service_account"}, json.dumps({"type": "service_account"})], ids=["object", "text"])
def test_a_google_connection_becomes_gcsfs_s_options(connect: Connect, key: object):
    connect("store", "google_cloud_platform", extra={"keyfile_dict": key, "project": "p"})
    connect("path", "google_cloud_platform", extra={"key_path": "/keys/google.json", "keyfile_dict": ""})
    assert options("store", "gs://b") == {"token": {"type": "service_account"}, "project": "p"}
    assert options("path", "gcs://b") == {"token": "/keys/google.json"}


@pytest.mark.parametrize(
    ("url", "extra"), [("gs://b", {"keyfile_dict": "{not json"}), ("s3://b", {"client_kwargs": "text"})], ids=["google", "aws"]
)
def test_a_connection_that_cannot_be_understood_is_an_error_that_names_it_and_the_url(connect: Connect, url: str, extra: object):
    connect("store", "generic", extra=extra)
    with pytest.raises(ConfigError, match=rf"{url}: the connection 'store' cannot be understood"):
        options("store", url)


def test_a_storage_connection_that_is_not_there_is_an_error_that_names_it_and_the_url(connect: Connect):
    use_airflow_connections()
    with pytest.raises(ConfigError, match=r"s3://b/in: there is no connection 'nobody' in Airflow: add it, or name another") as raised:
        open_file_system("s3://nobody@b/in")
    assert isinstance(raised.value.__cause__, AirflowNotFoundException)


def test_airflow_is_asked_for_a_connection_once_and_not_for_every_item(connect: Connect, monkeypatch: pytest.MonkeyPatch):
    connect("store", "aws", login="AKIA12345", password=SECRET)
    assert options("store", "s3://b/0")["key"] == "AKIA12345"
    monkeypatch.delenv("AIRFLOW_CONN_STORE")  # whoever asks again is told that there is none
    for number in range(1000):
        assert connections.options_of("store", f"s3://b/{number}")["key"] == "AKIA12345"


def test_who_opens_the_workspace_again_gets_a_connection_as_it_is_now(connect: Connect):
    connect("store", "aws", login="AKIA12345", password=SECRET)
    assert options("store", "s3://b")["key"] == "AKIA12345"
    connect("store", "aws", login="AKIA67890", password=SECRET)
    assert options("store", "s3://b")["key"] == "AKIA67890"


@pytest.mark.parametrize(
    ("url", "name"), [("s3://b", "role_arn"), ("az://c", "managed_identity_client_id"), ("gs://b", "impersonation_chain")]
)
def test_what_would_make_it_somebody_else_s_credentials_is_refused_and_not_left_out(connect: Connect, url: str, name: str):
    connect("store", "aws", login="AKIA12345", extra={name: "another"})
    with pytest.raises(ConfigError, match=f"its extra has {name}, which is not supported here"):
        options("store", url)


def test_an_endpoint_where_amazon_s_provider_keeps_it_now_is_found(connect: Connect):
    connect("store", "aws", extra={"service_config": {"s3": {"endpoint_url": "http://minio:9000"}}, "profile_name": "night"})
    assert options("store", "s3://b") == {"endpoint_url": "http://minio:9000", "profile": "night"}


def test_the_result_of_a_step_is_read_wherever_it_lies(connect: Connect, s3: S3Server):
    connect("store", "aws", login="test-key", password=SECRET, extra={"endpoint_url": s3.url, "region_name": "us-east-1"})
    use_airflow_connections()
    with open_output(f"s3://store@{BUCKET}/results").writer("rows.txt") as stream:
        stream.write(b"a: 1\n")
    with open_file(f"s3://store@{BUCKET}/results/rows.txt") as rows:
        assert rows.read() == b"a: 1\n"


def test_a_connection_that_was_missing_is_found_once_it_is_there(connect: Connect):
    with pytest.raises(ConfigError):
        options("store", "s3://b")
    connect("store", "aws", login="AKIA12345")
    assert options("store", "s3://b") == {"key": "AKIA12345"}


# A job whose everything lies behind a connection.


def test_a_job_behind_a_connection_keeps_it_in_every_url_and_its_secrets_in_none(
    connect: Connect, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BATCHINFER_GPUS", "")
    connect("store", "aws", login="test-key", password=SECRET, extra={"endpoint_url": s3.url, "region_name": "us-east-1"})
    connect("ws", extra={"root": f"s3://{BUCKET}/behind/ws", "storage_conn_id": "store"})
    workspace = open_workspace(conn_id="ws")
    root = f"s3://store@{BUCKET}/behind"
    assert workspace.url == f"{root}/ws"
    inputs = open_output(f"{root}/in")
    for name in ("a@b", "c"):
        inputs.create(name, name.encode())
    open_output(f"{root}/labels").create("labels.txt", b"seen")
    (tmp_path / "score.py").write_text(
        "import sys\nfrom pathlib import Path\n\ndef run(mini_batch):\n"
        "    return [f'{Path(p).name} {Path(p).read_text()} {Path(sys.argv[1], \"labels.txt\").read_text()}' for p in mini_batch]\n"
    )
    request = Request(
        config=ParallelRunConfig(entry_script=str(tmp_path / "score.py"), error_threshold=0, process_count_per_node=1),
        inputs=[FileDataset.from_files(f"{root}/in/*")],
        output_dir=f"{root}/out",
        interpreter=None,
        interpreter_digest="python",
        side_inputs={"labels": f"{root}/labels"},
        arguments=["{labels}"],
    )
    pin = begin(workspace, request)
    job = load_job(workspace, pin.job)
    (line,) = read_lines(workspace.store, plan_prefix(job), range(1))
    assert [item.path for item in read_line(line).items] == [f"{root}/in/a@b", f"{root}/in/c"]
    assert (pin.output_dir, job.spec.side_inputs[0][1]) == (f"{root}/out", f"{root}/labels")
    summary = score(workspace, pin, NodeOptions())
    assert summary.output == f"{root}/out/parallel_run_step.txt"
    assert open_output(pin.output_dir).read("parallel_run_step.txt") == b"a@b a@b seen\nc c seen\n"
    everything = [open_output(f"s3://store@{BUCKET}").read(path) for path in open_output(f"s3://store@{BUCKET}").find("behind")]
    assert len(everything) > 8
    assert not [content for content in everything if SECRET.encode() in content or b"test-key" in content]
