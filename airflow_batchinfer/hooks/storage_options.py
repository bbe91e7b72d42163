"""What a connection's fields mean for fsspec's file systems: `options_of(protocol, connection)`.

The fields are those of Airflow's own providers, which need not be installed. Every field either has its effect or is refused by
name: what is left out silently would make it other credentials than the ones that somebody chose. Nothing is asked, kept or logged.
"""

import inspect
import json
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import Connection

Options = dict[str, Any]
_OF_FSSPEC = {"listings_expiry_time", "max_paths", "skip_instance_cache", "use_listings_cache"}
# Of the machine, which adlfs lets count more than what it is given.
_AZURE_COUNTS_MORE = ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN")


def options_of(protocol: str, connection: Connection) -> Options:
    """The options of the file system of a protocol."""
    prefix = f"extra__{connection.conn_type}__"  # so Airflow's older forms called their fields
    extra = {name.removeprefix(prefix): value for name, value in connection.extra_dejson.items() if value not in (None, "")}
    options = _BY_PROTOCOL[protocol](connection, extra)
    _refuse_unknown(protocol, options)
    return options


def _s3(connection: Connection, extra: Options) -> Options:
    service = (extra.pop("service_config", None) or {}).get("s3") or {}
    _refuse(service, ("signer", "signer_uri", "signer_token", "proxy-uri"))
    client = dict(extra.pop("client_kwargs", {}))
    client |= {name: extra.pop(name) for name in ("region_name", "verify") if name in extra}
    config = dict(extra.pop("config_kwargs", {}))
    if is_unsigned := config.get("signature_version") == "unsigned":
        del config["signature_version"]
    # Where an endpoint stands differs between the versions of Amazon's provider.
    hosts = [service.get("endpoint_url"), extra.pop("endpoint_url", None), extra.pop("host", None), connection.host]
    key, secret = extra.pop("aws_access_key_id", None), extra.pop("aws_secret_access_key", None)
    own = {
        "anon": is_unsigned,
        "key": connection.login or key,
        "secret": connection.password or secret,
        "token": extra.pop("aws_session_token", None),
        "endpoint_url": next(filter(None, hosts), None),
        "profile": extra.pop("profile_name", None),
        "client_kwargs": client,
        "config_kwargs": config,
    }
    return {**extra, **_given(own)}


def _azure(connection: Connection, extra: Options) -> Options:
    keys = [extra.pop(name, None) for name in ("shared_access_key", "sas_token", "account_key")]
    shared, sas, key = keys[0], keys[1], connection.password or keys[2]
    tenants = [extra.pop(name, None) for name in ("tenant_id", "tenant")]
    string, tenant = extra.pop("connection_string", None), next(filter(None, tenants), None)
    account, endpoint = _azure_place(connection, extra, of_application=bool(tenant))
    if string:
        return {**extra, "connection_string": string}
    if tenant:
        who = {"tenant_id": tenant, "client_id": connection.login, "client_secret": connection.password}
        _refuse_environment(_AZURE_COUNTS_MORE)
        return {**extra, **_given(who), **_azure_host(account, endpoint)}
    if sas and not shared:
        place, _, token = sas.rpartition("?")
        # Azure gives a container's token as a URL that names the container too.
        host = urlsplit(place).netloc
        where = f"https://{host}" if ".blob." in host else place or endpoint
        return {**extra, "connection_string": f"BlobEndpoint={where.rstrip('/')};SharedAccessSignature={token}"}
    if shared or key:
        return {**extra, "connection_string": f"BlobEndpoint={endpoint};AccountName={account};AccountKey={shared or key}"}
    _refuse_environment(_AZURE_COUNTS_MORE[:1])
    return {**extra, **_azure_host(account, endpoint)}


def _azure_place(connection: Connection, extra: Options, *, of_application: bool) -> tuple[str, str]:
    """The account's name and its endpoint, which may be Azurite's: http, with a port, the account in the path."""
    given = [extra.pop(name, None) for name in ("account_host", "account_url")]
    host = next(filter(None, [*given, connection.host]), "")
    url = urlsplit(host if "://" in host else f"https://{host}")
    name = extra.pop("account_name", None)
    if set(url.netloc) & {".", ":"}:
        account = name or url.path.strip("/") or url.netloc.partition(".")[0]
        # The Data Lake's endpoint speaks another protocol than adlfs.
        return account, f"{url.scheme}://{url.netloc.replace('.dfs.', '.blob.', 1)}{url.path.rstrip('/')}"
    login = None if of_application or connection.conn_type == "adls" else connection.login
    account = name or login or url.netloc
    return account, f"https://{account}.blob.core.windows.net"


def _azure_host(account: str, endpoint: str) -> Options:
    if not endpoint.startswith("https://"):
        raise ValueError(f"{endpoint} is without TLS: there only an account's key, a SAS token or a connection string will do")
    host = endpoint.removeprefix("https://")
    return _given({"account_name": account, "account_host": None if host == f"{account}.blob.core.windows.net" else host})


def _google(connection: Connection, extra: Options) -> Options:
    # They narrow or repeat what a key may do, and no more.
    for name in ("num_retries", "scope"):
        extra.pop(name, None)
    key, path = extra.pop("keyfile_dict", None), extra.pop("key_path", None)
    # Airflow's form keeps the key as text, which the file system would take for a token.
    token = json.loads(key) if isinstance(key, str) else key
    is_anonymous, project, endpoint = (extra.pop(name, None) for name in ("is_anonymous", "gcs.project-id", "gcs.endpoint"))
    own = {"token": "anon" if is_anonymous else token or path, "endpoint_url": endpoint or connection.host, "project": project}
    return {**extra, **_given(own)}


def _given(options: Options) -> Options:
    return {name: value for name, value in options.items() if value}


def _refuse_unknown(protocol: str, options: Options) -> None:
    import fsspec

    try:
        kinds = fsspec.get_filesystem_class(protocol).__mro__
    except ImportError:
        return  # who opens it is told what to install
    named = [each for kind in kinds for each in inspect.signature(kind.__init__).parameters.values()]
    known = {each.name for each in named if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)} - {"self"}
    # `profile` is s3fs's too, among what it passes on.
    _refuse(options, set(options) - known - {"profile"} - _OF_FSSPEC)


def _refuse(extra: Options, names: Collection[str]) -> None:
    if found := [name for name in sorted(names) if extra.get(name) not in (None, False)]:
        told = ", ".join(found)
        raise ValueError(f"its extra has {told}, which is not supported here; give keys, or leave it empty to use the machine's own")


def _refuse_environment(names: Collection[str]) -> None:
    if found := [name for name in names if os.environ.get(name)]:
        raise ValueError(f"this machine's {', '.join(found)} would count instead of it; unset that, or let the connection hold a key")


_BY_PROTOCOL: Mapping[str, Callable[[Connection, Options], Options]] = {
    **dict.fromkeys(("s3", "s3a"), _s3),
    **dict.fromkeys(("abfs", "abfss", "az"), _azure),
    **dict.fromkeys(("gs", "gcs"), _google),
}
