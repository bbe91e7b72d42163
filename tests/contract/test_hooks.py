"""What Airflow's connections mean to us: which workspace, and how a storage is opened."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_batchinfer.datasets import FileDataset, list_items
from airflow_batchinfer.engine.node import NodeOptions
from airflow_batchinfer.engine.scoring import begin, score
from airflow_batchinfer.environments.specification import Specification
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
from tests.contract.conftest import BUCKET, params
from tests.faults.azurite import KEY, Azurite


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


AZURE_AT = "BlobEndpoint=https://account.blob.core.windows.net"


@pytest.mark.parametrize(
    ("fields", "string"),
    [
        ({"login": "account", "password": "k=="}, f"{AZURE_AT};AccountName=account;AccountKey=k=="),
        ({"login": "account", "extra": {"account_key": "k=="}}, f"{AZURE_AT};AccountName=account;AccountKey=k=="),
        ({"login": "account", "extra": {"shared_access_key": "k", "sas_token": "sv=1"}}, f"{AZURE_AT};AccountName=account;AccountKey=k"),
        ({"login": "account", "extra": {"extra__wasb__shared_access_key": "k"}}, f"{AZURE_AT};AccountName=account;AccountKey=k"),
        (
            {"login": "account", "password": "k", "extra": {"sas_token": "?sv=1&sig=a%3D"}},
            f"{AZURE_AT};SharedAccessSignature=sv=1&sig=a%3D",
        ),
        ({"extra": {"sas_token": "https://account.blob.core.windows.net/c?sv=1"}}, f"{AZURE_AT};SharedAccessSignature=sv=1"),
        ({"host": "https://account.blob.core.windows.net/", "password": "k"}, f"{AZURE_AT};AccountName=account;AccountKey=k"),
        ({"conn_type": "adls", "host": "account", "login": "client", "password": "k"}, f"{AZURE_AT};AccountName=account;AccountKey=k"),
        ({"conn_type": "adls", "host": "account.dfs.core.windows.net", "password": "k"}, f"{AZURE_AT};AccountName=account;AccountKey=k"),
        (
            {"login": "a", "password": "k", "host": "http://127.0.0.1:10000/devstoreaccount1", "extra": {"account_name": "b"}},
            "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;AccountName=b;AccountKey=k",
        ),
        (
            {"login": "a", "password": "k", "extra": {"account_host": "a.blob.local"}},
            "BlobEndpoint=https://a.blob.local;AccountName=a;AccountKey=k",
        ),
        ({"login": "a", "password": "k", "extra": {"connection_string": "AccountName=b;"}}, "AccountName=b;"),
    ],
    ids=str,
)
def test_an_azure_connection_that_holds_a_secret_becomes_the_string_that_counts_most(connect: Connect, fields: dict[str, Any], string: str):
    connect("store", **{"conn_type": "wasb", **fields})
    for protocol in ("abfs", "abfss", "az"):
        assert options("store", f"{protocol}://c") == {"connection_string": string}


def test_an_azure_connection_of_an_application_names_tenant_client_and_account(connect: Connect):
    host = "https://account.blob.core.windows.net/"
    expected = {"account_name": "account", "tenant_id": "tenant", "client_id": "client", "client_secret": SECRET}
    connect("wasb", "wasb", login="client", password=SECRET, host=host, extra={"tenant_id": "tenant"})
    connect("adls", "adls", login="client", password=SECRET, extra={"tenant": "tenant", "account_name": "account"})
    connect("own", "wasb", login="client", password=SECRET, extra={"tenant_id": "tenant", "account_host": "account.blob.local"})
    assert options("wasb", "abfs://c") == options("adls", "abfs://c") == expected
    assert options("own", "abfs://c") == {**expected, "account_host": "account.blob.local"}


def test_an_azure_connection_without_a_secret_leaves_the_credentials_to_the_machine_or_to_nobody(connect: Connect):
    connect("store", "wasb", login="account")
    assert options("store", "abfs://c") == {"account_name": "account"}
    connect("public", "wasb", login="account", extra={"anon": True})
    assert options("public", "abfs://c") == {"account_name": "account", "anon": True}
    connect("plain", "wasb", login="account", host="http://127.0.0.1:10000/account")
    with pytest.raises(ConfigError, match="is without TLS"):
        options("plain", "abfs://c")


@pytest.mark.parametrize("extra", [{}, {"tenant_id": "tenant"}], ids=["machine", "application"])
def test_the_machine_s_own_connection_string_never_counts_instead_of_a_connection(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, extra: dict[str, str]
):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=another;")
    connect("store", "wasb", login="account", host="account", extra=extra)
    with pytest.raises(ConfigError, match="this machine's AZURE_STORAGE_CONNECTION_STRING would count instead of it; unset that"):
        options("store", "abfs://c")
    connect("keyed", "wasb", login="account", password="k")
    assert "account.blob" in options("keyed", "abfs://c")["connection_string"]


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


REFUSED = {
    "s3://b": ["role_arn", "assume_role_method", "assume_role_kwargs", "external_id", "session_kwargs", "s3_config_file", "self"],
    "az://c": ["managed_identity_client_id", "workload_identity_tenant_id", "client_secret_auth_config", "misspelled"],
    "gs://b": ["impersonation_chain", "key_secret_name", "credential_config_file", "idp_issuer_url", "client_secret", "misspelled"],
}


@pytest.mark.parametrize(("url", "name"), [(url, name) for url, names in REFUSED.items() for name in names])
def test_what_would_make_it_somebody_else_s_credentials_is_refused_and_not_left_out(connect: Connect, url: str, name: str):
    connect("store", "aws", login="AKIA12345", extra={name: "another"})
    with pytest.raises(ConfigError, match=f"its extra has {name}, which is not supported here"):
        options("store", url)


def test_a_sas_token_in_a_url_is_refused_and_not_shown():
    with pytest.raises(ConfigError, match="a SAS token does not belong into a URL") as raised:
        open_file_system("abfs://c/path?sv=1&sig=c2VjcmV0")
    assert "c2VjcmV0" not in str(raised.value)


def test_an_anonymous_connection_asks_without_credentials(connect: Connect):
    connect("aws", "aws", extra={"config_kwargs": {"signature_version": "unsigned", "retries": {"mode": "standard"}}})
    connect("google", "google_cloud_platform", extra={"is_anonymous": True, "scope": "narrow", "num_retries": 5})
    assert options("aws", "s3://b") == {"anon": True, "config_kwargs": {"retries": {"mode": "standard"}}}
    assert options("google", "gs://b") == {"token": "anon"}


def test_an_endpoint_where_amazon_s_provider_keeps_it_now_is_found(connect: Connect):
    connect("store", "aws", extra={"service_config": {"s3": {"endpoint_url": "http://minio:9000"}}, "profile_name": "night"})
    assert options("store", "s3://b") == {"endpoint_url": "http://minio:9000", "profile": "night"}


@pytest.fixture(params=params("s3", "azure"))
def protocol(connect: Connect, request: pytest.FixtureRequest) -> str:
    """Storage behind the connection `store`; gives the protocol by which it is reached."""
    if request.param == "s3":
        url = request.getfixturevalue("s3").url
        connect("store", "aws", login="test-key", password=SECRET, extra={"endpoint_url": url, "region_name": "us-east-1"})
        return "s3"
    server = request.getfixturevalue("azure_server")
    connect("store", "wasb", login=server.account, password=server.key, host=server.url)
    return "abfs"


def test_the_result_of_a_step_is_read_wherever_it_lies(protocol: str):
    use_airflow_connections()
    with open_output(f"{protocol}://store@{BUCKET}/results").writer("rows.txt") as stream:
        stream.write(b"a: 1\n")
    with open_file(f"{protocol}://store@{BUCKET}/results/rows.txt") as rows:
        assert rows.read() == b"a: 1\n"


@pytest.mark.services
def test_a_token_that_may_only_list_and_read_reads_and_is_told_what_it_may_not(connect: Connect, azure_server: Azurite):
    connect("writer", "wasb", login=azure_server.account, password=azure_server.key, host=azure_server.url)
    connect("reader", "wasb", host=azure_server.url, extra={"sas_token": azure_server.token(BUCKET, "rl")})
    use_airflow_connections()
    open_output(f"abfs://writer@{BUCKET}/shared").create("a", b"seen")
    (item,) = list_items(FileDataset.from_files(f"abfs://reader@{BUCKET}/shared"))
    assert item.path == f"abfs://reader@{BUCKET}/shared/a"
    with open_file(item.path) as file:
        assert file.read() == b"seen"
    connect("worker", "wasb", host=azure_server.url, extra={"sas_token": azure_server.token(BUCKET, "rlwd")})
    assert open_workspace(f"abfs://worker@{BUCKET}/ws").url == f"abfs://worker@{BUCKET}/ws"
    with pytest.raises(ConfigError, match=rf"the workspace abfs://reader@{BUCKET}/ws cannot be used: .*not authorized"):
        open_workspace(f"abfs://reader@{BUCKET}/ws")


def test_as_many_connections_are_kept_as_threads_fetch_items_unless_the_connection_says_otherwise(connect: Connect):
    connect("store", "aws", extra={"config_kwargs": {"read_timeout": 5}})
    connect("few", "aws", extra={"config_kwargs": {"max_pool_connections": 3}})
    use_airflow_connections()
    assert open_file_system("s3://store@b/x")[0].config_kwargs == {"max_pool_connections": 64, "read_timeout": 5}
    assert open_file_system("s3://few@b/x")[0].config_kwargs == {"max_pool_connections": 3}


def test_of_one_large_blob_few_pieces_are_held_at_once_unless_the_connection_says_otherwise(connect: Connect):
    connect("store", "wasb", login="account", password="aa==")
    connect("many", "wasb", login="account", password="aa==", extra={"max_concurrency": 100})
    use_airflow_connections()
    assert [open_file_system(f"az://{name}@c/x")[0].max_concurrency for name in ("store", "many")] == [8, 100]


def test_a_connection_that_was_missing_is_found_once_it_is_there(connect: Connect):
    with pytest.raises(ConfigError):
        options("store", "s3://b")
    connect("store", "aws", login="AKIA12345")
    assert options("store", "s3://b") == {"key": "AKIA12345"}


# A job whose everything lies behind a connection.


def test_a_job_behind_a_connection_keeps_it_in_every_url_and_its_secrets_in_none(
    connect: Connect, protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("BATCHINFER_GPUS", "")
    connect("ws", extra={"root": f"{protocol}://{BUCKET}/behind/ws", "storage_conn_id": "store"})
    workspace = open_workspace(conn_id="ws")
    root = f"{protocol}://store@{BUCKET}/behind"
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
        environment=Specification(installed="python"),
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
    top = open_output(f"{protocol}://store@{BUCKET}")
    everything = [top.read(path) for path in top.find("behind")]
    assert len(everything) > 8
    secrets = (SECRET.encode(), b"test-key", KEY.encode())
    assert not [content for content in everything if any(secret in content for secret in secrets)]
