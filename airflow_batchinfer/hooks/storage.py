"""From an Airflow connection to fsspec's storage options. Nothing secret is kept or logged.

What the connection's extra holds goes to the file system as it is, except for what Airflow's own providers call otherwise.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

from airflow.sdk import Connection
from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.storage import look_connections_up_with, open_file_system

Options = dict[str, Any]


def use_airflow_connections() -> None:
    """From now on a URL such as `s3://conn_id@bucket/key` is opened with Airflow's connection of that name, as it is now."""
    _options.cache_clear()
    look_connections_up_with(_storage_options)


@contextmanager
def open_file(url: str) -> Iterator[IO[bytes]]:
    """A file to read, wherever it lies, such as the result of a step; for tasks of your own."""
    use_airflow_connections()
    fs, path = open_file_system(url)
    with fs.open(path, "rb") as file:
        yield file


def _storage_options(connection: str, url: str) -> Mapping[str, Any]:
    try:
        return _options(connection, url.partition("://")[0])
    except AirflowNotFoundException as error:
        raise ConfigError(f"{url}: there is no connection {connection!r} in Airflow: add it, or name another") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{url}: the connection {connection!r} cannot be understood: {error}") from error


# Every item's URL asks: the answer is kept by connection, since each costs a request and there are millions of items.
@cache
def _options(connection: str, protocol: str) -> Mapping[str, Any]:
    return _BY_PROTOCOL[protocol](BaseHook.get_connection(connection))


def _s3(connection: Connection) -> Options:
    extra = _understood(connection, ("role_arn", "assume_role_method", "assume_role_kwargs", "aws_account_id", "session_kwargs"))
    service = (extra.pop("service_config", None) or {}).get("s3", {})
    client = dict(extra.pop("client_kwargs", {}))
    client |= {name: extra.pop(name) for name in ("region_name", "verify") if name in extra}
    # Where an endpoint stands differs between the versions of Amazon's provider.
    hosts = [service.get("endpoint_url"), extra.pop("endpoint_url", None), extra.pop("host", None), connection.host]
    endpoint = next(filter(None, hosts), None)
    key, secret = extra.pop("aws_access_key_id", None), extra.pop("aws_secret_access_key", None)
    own = {
        "key": connection.login or key,
        "secret": connection.password or secret,
        "token": extra.pop("aws_session_token", None),
        "endpoint_url": endpoint,
        "profile": extra.pop("profile_name", None),
        "client_kwargs": client,
    }
    return {**extra, **_given(own)}


def _azure(connection: Connection) -> Options:
    requests = logging.getLogger("azure.core.pipeline.policies.http_logging_policy")
    if requests.level == logging.NOTSET:
        # Azure's library tells every request in some thirty lines, at a level that Airflow shows: a task's log would hold nothing else.
        requests.setLevel(logging.WARNING)
    extra = _understood(connection, ("managed_identity_client_id", "workload_identity_tenant_id", "shared_access_key"))
    tenant = extra.pop("tenant_id", None) or extra.pop("tenant", None)
    # With a tenant, login and password are an application's; without one, the storage account's.
    names = ("client_id", "client_secret") if tenant else ("account_name", "account_key")
    host = (connection.host or "").removeprefix("https://").rstrip("/")
    where = {"account_name": host.partition(".")[0], "account_host": host if "." in host else None}
    who = {"tenant_id": tenant, names[0]: connection.login, names[1]: connection.password}
    return {**_given(where), **_given(who), **extra}


def _google(connection: Connection) -> Options:
    extra = _understood(connection, ("impersonation_chain", "key_secret_name", "credential_config_file"))
    extra.pop("num_retries", None)
    key, path = extra.pop("keyfile_dict", None), extra.pop("key_path", None)
    # Airflow's form keeps the key as text, which the file system would take for a token.
    token = json.loads(key) if isinstance(key, str) and key else key
    return {**extra, **_given({"token": token or path, "endpoint_url": connection.host})}


def _understood(connection: Connection, refused: tuple[str, ...]) -> Options:
    """A connection's extra; what would make it somebody else's credentials must not be left out silently."""
    extra = dict(connection.extra_dejson)
    if found := [name for name in refused if extra.get(name)]:
        raise ValueError(
            f"its extra has {', '.join(found)}, which is not supported here; give keys, or leave it empty to use the machine's own"
        )
    return extra


def _given(options: Options) -> Options:
    return {name: value for name, value in options.items() if value}


_BY_PROTOCOL: Mapping[str, Callable[[Connection], Options]] = {
    **dict.fromkeys(("s3", "s3a"), _s3),
    **dict.fromkeys(("abfs", "abfss", "az"), _azure),
    **dict.fromkeys(("gs", "gcs"), _google),
}
