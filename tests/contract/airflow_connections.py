"""Gives Airflow connections as environment variables do, for as long as a test lasts."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from airflow_batchinfer.hooks.storage import _options
from airflow_batchinfer.storage import connections

SECRET = "wJalrXUtnFEMI-not-a-real-one"
Connect = Callable[..., None]


@contextmanager
def airflow_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """A function that adds a connection; nothing else opens any storage meanwhile."""

    def connect(conn_id: str, conn_type: str = "batchinfer", extra: object = None, **fields: object) -> None:
        described = {"conn_type": conn_type, **fields, **({} if extra is None else {"extra": extra})}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(described))

    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(connections, "_lookup", list(connections._lookup))  # noqa: SLF001 - so that it is taken back
    _options.cache_clear()
    yield connect
    _options.cache_clear()
