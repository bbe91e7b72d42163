"""From an Airflow connection to fsspec's storage options. Nothing secret is kept or logged.

Which field means what, `storage_options` knows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.hooks.storage_options import options_of
from airflow_batchinfer.storage import look_connections_up_with, open_file_system


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
    return options_of(protocol, BaseHook.get_connection(connection))
