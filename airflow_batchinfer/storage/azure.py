"""Azure Blob Storage, where adlfs alone will not do: how it meets failures, and listings page by page.

adlfs asks again after 15 seconds and more, logs every request, lists into a dict of dicts, looks at every folder whose name
begins alike, and takes the blob `folder/` for a file. Accounts with a hierarchical namespace list folders as blobs of their own,
and `/` before all other characters: nothing here promises an order. adlfs itself is not imported here.
"""

import logging
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.storage.insisting import insist

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_log = logging.getLogger("azure")
# Seconds: the first time at once, then after about one. Whoever asks insists beyond that.
_RETRIES = 2
_MOST_JITTER_SECONDS = 0.2
PAGE_BLOBS = 5_000
_FOLDER_MARKS = {"hdi_isfolder", "is_directory"}


class Blob(NamedTuple):
    """What a listing says of a blob; `path` begins with the container."""

    path: str
    size: int
    etag: str
    is_folder: bool


def is_azure(fs: "AbstractFileSystem") -> bool:
    """Whether a file system is adlfs."""
    return "abfs" in fs.protocol


def tune(fs: "AbstractFileSystem") -> None:
    """Let a file system ask again soon after a failure, and not tell of every request."""
    # adlfs makes its client itself and passes nothing on that would say so.
    retries = fs.service_client._config.retry_policy  # noqa: SLF001
    retries.initial_backoff, retries.increment_base, retries.random_jitter_range = 0, 1, _MOST_JITTER_SECONDS
    retries.total_retries = _RETRIES
    if _log.level == logging.NOTSET:
        _log.setLevel(logging.WARNING)  # its INFO is several lines for each request, and Airflow's task logs show INFO


def blobs_below(fs: "AbstractFileSystem", folder: str) -> Iterator[Blob]:
    """All blobs below a folder, those that stand for folders too."""
    for page in _pages(fs, folder, "list_blobs", include=["metadata"]):
        for blob in page:
            marks = {name.lower() for name, value in (blob.metadata or {}).items() if value == "true"}
            is_folder = blob.name.endswith("/") or bool(marks & _FOLDER_MARKS)
            yield Blob(f"{blob.container}/{blob.name}", blob.size, str(blob.etag).strip('"'), is_folder)


def names_in(fs: "AbstractFileSystem", folder: str) -> set[str]:
    """The names of what lies directly in a folder."""
    found = (blob.name for page in _pages(fs, folder, "walk_blobs", delimiter="/") for blob in page)
    start = len(_prefix(folder))
    return {name[start:].rstrip("/") for name in found} - {""}


def check_name(fs: "AbstractFileSystem", path: str) -> None:
    """Raise a ConfigError for a path that adlfs takes for another one, since it reads it as a URL."""
    if fs._strip_protocol(path) != path or "?versionid=" in path:  # noqa: SLF001 - fsspec's documented extension point
        raise ConfigError(
            f"{fs.unstrip_protocol(path)!r}: a name on Azure may not end with # or ?, nor hold ?versionid=, a tab or a newline; rename it"
        )


def _prefix(folder: str) -> str:
    inside = folder.partition("/")[2]
    return f"{inside.rstrip('/')}/" if inside else ""


def _pages(fs: "AbstractFileSystem", folder: str, how: str, **asked: object) -> Iterator[list[Any]]:
    from fsspec.asyn import sync

    container, prefix = folder.partition("/")[0], _prefix(folder)

    async def page(after: str | None) -> tuple[list[Any], str | None]:
        async with fs.service_client.get_container_client(container) as client:
            pages = getattr(client, how)(name_starts_with=prefix, results_per_page=PAGE_BLOBS, **asked).by_page(continuation_token=after)
            async for found in pages:
                return [blob async for blob in found], pages.continuation_token
        return [], None

    token: str | None = None
    while True:
        found, token = insist(partial(sync, fs.loop, page, token), str(fs.unstrip_protocol(folder)))
        yield found
        if not token:
            return
