"""A URL may name the connection that its storage is reached with: `s3://conn_id@bucket/key`.

What a connection holds only its owner knows (Airflow does), who says so once per process by `look_connections_up_with`;
here are only the names. The connection stays in the URL wherever it goes, so a plan or a pin never holds a credential.
"""

from collections.abc import Callable, Mapping
from typing import Any

from airflow_batchinfer.errors import ConfigError

# Elsewhere what stands before an @ has a meaning of its own: a user name, or in Azure's long form the container.
_PROTOCOLS = frozenset({"s3", "s3a", "abfs", "abfss", "az", "gs", "gcs"})
_AZURE = frozenset({"abfs", "abfss", "az"})
Options = Mapping[str, Any]
Lookup = Callable[[str, str], Options]


def _unknown(connection: str, url: str) -> Options:
    raise ConfigError(
        f"{url}: the connection {connection!r} is Airflow's, and this is not Airflow: give the URL without it, and the credentials "
        "in the way of that storage's own tools, such as AWS_ACCESS_KEY_ID"
    )


_lookup: list[Lookup] = [_unknown]


def look_connections_up_with(lookup: Lookup) -> None:
    """From now on, what a connection means for a URL is asked of this function; it gives fsspec's storage options."""
    _lookup[0] = lookup


def options_of(connection: str, url: str) -> Options:
    """What fsspec needs to reach a URL by a connection."""
    return _lookup[0](connection, url)


def split_protocol(url: str) -> tuple[str, str]:
    """A URL's protocol and the rest; an empty one of a path. As fsspec has it, whose import takes longer than most commands do."""
    protocol, separator, rest = url.partition("://")
    return (protocol, rest) if separator and len(protocol) > 1 else ("", url)


def split_connection(url: str) -> tuple[str | None, str]:
    """The connection that a URL names, if any, and the URL without it."""
    protocol, separator, rest = url.partition("://")
    if protocol in _AZURE and "sig=" in rest.partition("?")[2]:
        told = url.partition("?")[0]
        raise ConfigError(f"{told}?...: a SAS token does not belong into a URL, which is logged; put it into a connection, and name that")
    before, at, after = rest.partition("@")
    if not (separator and at) or protocol not in _PROTOCOLS or "/" in before:
        return None, url
    if protocol in _AZURE and set(after.partition("/")[0]) & {".", ":"}:
        return None, url  # container@account.dfs.core.windows.net
    if ":" in before:
        raise ConfigError(f"{protocol}://...@{after}: keys do not belong into a URL, which is logged; name a connection, or give none")
    return before, f"{protocol}://{after}"


def with_connection(connection: str | None, url: str) -> str:
    """The URL, naming the connection, if there is one."""
    protocol, _, rest = url.partition("://")
    return f"{protocol}://{connection}@{rest}" if connection else url


def as_given(url: str, plain_url: str) -> str:
    """Another URL of the same storage, naming the connection or the account that `url` names."""
    connection, _ = split_connection(url)
    protocol, _, rest = url.partition("://")
    _, at, host = rest.partition("/")[0].partition("@")
    if connection or not at or protocol not in _AZURE:
        return with_connection(connection, plain_url)
    container, slash, path = plain_url.partition("://")[2].partition("/")
    return f"{protocol}://{container}@{host}{slash}{path}"
