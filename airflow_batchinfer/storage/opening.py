"""From a URL to a store, for the storages whose create is known to be atomic; and to a plain file system for the rest.

A workspace needs the former. Inputs are only read, so they may lie on anything that fsspec opens.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.storage.azure import is_azure, tune
from airflow_batchinfer.storage.connections import Options, options_of, split_connection, split_protocol
from airflow_batchinfer.storage.insisting import storage_failed
from airflow_batchinfer.storage.local import LocalStore
from airflow_batchinfer.storage.remote import RemoteStore
from airflow_batchinfer.storage.store import Store

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# pipe_file(mode="create") is one conditional request there, not a look and then a write.
ATOMIC_PROTOCOLS = frozenset({"memory", "s3", "s3a", "abfs", "abfss", "az", "gs", "gcs"})
_SAME = {"s3a": "s3", "abfss": "abfs", "az": "abfs", "gcs": "gs"}
_EXTRAS = {"s3": "s3", "s3a": "s3", "abfs": "azure", "abfss": "azure", "az": "azure", "gs": "gcs", "gcs": "gcs"}
# Unless somebody says otherwise. Items are fetched by many threads at once, and botocore keeps 10 connections, where the others keep 100;
# but for the pieces of one large file adlfs would take every one of them.
_DEFAULTS: Mapping[str, Options] = {
    # Of a large file s3fs would keep ten pieces of 50 MB in memory, for each thread that fetches one.
    "s3": {"config_kwargs": {"max_pool_connections": 64}, "max_concurrency": 1},
    "abfs": {"max_concurrency": 8},
}


def is_local(url: str) -> bool:
    """Whether a URL or path is on this machine's own file system."""
    return split_protocol(url)[0] in ("", "file", "local")


def local_path(url: str) -> Path:
    """The absolute path behind a local URL."""
    path = Path(split_protocol(url)[1]).expanduser().absolute()
    if ".." not in path.parts:
        return path
    last = len(path.parts) - path.parts[::-1].index("..")
    return Path(*path.parts[:last]).resolve().joinpath(*path.parts[last:])  # where `..` leads, only the file system knows


def comparable(url: str) -> str:
    """What two URLs of one place have in common: links followed, and neither connection nor trailing slash."""
    if is_local(url):
        return str(local_path(url).resolve()).rstrip("/")
    protocol, path = split_protocol(split_connection(url)[1])
    return f"{_SAME.get(protocol, protocol)}://{path}".rstrip("/")


def open_file_system(url: str, **options: Any) -> "tuple[AbstractFileSystem, str]":  # noqa: ANN401 - fsspec's own
    """The file system behind a URL and the path on it, or an error that says what to install."""
    from fsspec.core import url_to_fs

    protocol = split_protocol(url)[0] or "file"
    connection, plain_url = split_connection(url)
    if connection:
        options = {**options_of(connection, plain_url), **options}
    try:
        fs, path = url_to_fs(plain_url, **_with_defaults(protocol, options))
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"install airflow-batchinfer[{extra}]" if extra else "install the fsspec package for it"
        raise ConfigError(f"{url}: no support for {protocol}:// is installed: {remedy} ({error})") from error
    except ValueError as error:
        raise ConfigError(f"{url}: {error}") from error
    except OSError as error:
        raise storage_failed(url, error) from error
    if is_azure(fs):
        tune(fs)
    return fs, path


def _with_defaults(protocol: str, options: Options) -> dict[str, Any]:
    """Options, and what they leave open; what fsspec's own settings say counts like them."""
    defaults = _DEFAULTS.get(_SAME.get(protocol, protocol))
    if not defaults:
        return dict(options)
    import fsspec
    from fsspec.config import apply_config

    given: dict[str, Any] = apply_config(fsspec.get_filesystem_class(protocol), dict(options))
    for name, value in defaults.items():
        given[name] = {**value, **given.get(name, {})} if isinstance(value, dict) else given.get(name, value)
    return given


def open_store(url: str, **options: Any) -> Store:  # noqa: ANN401 - fsspec's own
    """A folder in which files can be created atomically."""
    protocol = split_protocol(url)[0]
    if not is_local(url) and protocol not in ATOMIC_PROTOCOLS:
        raise ConfigError(
            f"{url}: {protocol}:// cannot create a file atomically, so two nodes could score the same mini-batch. "
            "Inputs and outputs may stay there; put the workspace on local disk, S3, Azure or GCS"
        )
    return open_output(url, **options)


def open_output(url: str, **options: Any) -> Store:  # noqa: ANN401 - fsspec's own
    """A folder that is written by one process at a time, so it may lie on anything."""
    if is_local(url):
        return LocalStore(local_path(url))
    # What other nodes write must be seen at once: fsspec would look files up in a listing that it remembers.
    fs, root = open_file_system(url, use_listings_cache=False, **options)
    return RemoteStore(fs, root, url)
