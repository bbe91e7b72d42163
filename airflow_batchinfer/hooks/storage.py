"""From an Airflow connection to fsspec's storage options. Nothing is opened here, and nothing secret is kept or logged.

What the connection's extra holds goes to the file system as it is, except for what Airflow's own providers call otherwise.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.storage import look_connections_up_with

Options = dict[str, Any]


def use_airflow_connections() -> None:
    """From now on a URL such as `s3://conn_id@bucket/key` is opened with Airflow's connection of that name."""
    look_connections_up_with(_storage_options)


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
    extra = dict(connection.extra_dejson)
    client = dict(extra.pop("client_kwargs", {}))
    client |= {name: extra.pop(name) for name in ("region_name", "verify") if name in extra}
    # Where an endpoint stands differs between the versions of Amazon's provider.
    hosts = [extra.pop("endpoint_url", None), extra.pop("host", None), connection.host]
    endpoint = next(filter(None, hosts), None)
    key, secret = extra.pop("aws_access_key_id", None), extra.pop("aws_secret_access_key", None)
    own = {
        "key": connection.login or key,
        "secret": connection.password or secret,
        "token": extra.pop("aws_session_token", None),
        "endpoint_url": endpoint,
        "client_kwargs": client,
    }
    return {**extra, **_given(own)}


def _azure(connection: Connection) -> Options:
    extra = dict(connection.extra_dejson)
    tenant = extra.pop("tenant_id", None) or extra.pop("tenant", None)
    # With a tenant, login and password are an application's; without one, the storage account's.
    names = ("client_id", "client_secret") if tenant else ("account_name", "account_key")
    host = (connection.host or "").removeprefix("https://").rstrip("/")
    where = {"account_name": host.partition(".")[0], "account_host": host if "." in host else None}
    who = {"tenant_id": tenant, names[0]: connection.login, names[1]: connection.password}
    return {**_given(where), **_given(who), **extra}


def _google(connection: Connection) -> Options:
    extra = dict(connection.extra_dejson)
    key, path = extra.pop("keyfile_dict", None), extra.pop("key_path", None)
    # Airflow's form keeps the key as text, which the file system would take for a token.
    token = json.loads(key) if isinstance(key, str) and key else key
    return {**extra, **_given({"token": token or path, "endpoint_url": connection.host})}


def _given(options: Options) -> Options:
    return {name: value for name, value in options.items() if value}


_BY_PROTOCOL: Mapping[str, Callable[[Connection], Options]] = {
    **dict.fromkeys(("s3", "s3a"), _s3),
    **dict.fromkeys(("abfs", "abfss", "az"), _azure),
    **dict.fromkeys(("gs", "gcs"), _google),
}
