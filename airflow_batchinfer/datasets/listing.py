"""From a dataset to its items, in the order of their paths, one at a time: a million of them must not fill the memory.

Local folders are walked in order; an S3 prefix is read page by page, which comes in order; an Azure one page by page into as
little memory as it takes to sort it; any other file system lists at once. Overlapping paths of one dataset give each file once.
"""

import heapq
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from airflow_batchinfer.datasets.dataset import is_reference
from airflow_batchinfer.datasets.file_dataset import FileDataset
from airflow_batchinfer.datasets.local_walk import walk
from airflow_batchinfer.errors import ConfigError, NotFoundError, StorageError
from airflow_batchinfer.storage import (
    as_given,
    blobs_below,
    check_name,
    insist,
    is_azure,
    is_local,
    local_path,
    open_file_system,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

GLOB_CHARACTERS = re.compile(r"[*?\[]")


class Item(NamedTuple):
    """A file as it was when it was listed; `version` is its mtime in ns on local disk, elsewhere an etag or the like."""

    path: str
    size: int
    version: int | str


def list_items(dataset: FileDataset, *, may_be_missing: bool = False) -> Iterator[Item]:
    """The items of a dataset, in order. A path that does not exist is an error, unless it may be missing."""
    lists = [_list_path(path) for path in dataset.paths]
    if may_be_missing:
        lists = [_nothing_if_missing(found) for found in lists]
    found = lists[0] if len(lists) == 1 else _without_repeats(heapq.merge(*lists))
    return islice(found, dataset.start, dataset.stop)


def is_glob(url: str) -> bool:
    """Whether a path is a pattern; what exists under that very name is none."""
    return GLOB_CHARACTERS.search(url) is not None and not (is_local(url) and local_path(url).exists())


def _nothing_if_missing(items: Iterator[Item]) -> Iterator[Item]:
    with suppress(NotFoundError):
        yield from items


def _without_repeats(items: Iterator[Item]) -> Iterator[Item]:
    last = None
    for item in items:
        if item.path != last:
            yield item
        last = item.path


def _list_path(path: str) -> Iterator[Item]:
    if is_reference(path):
        raise ConfigError(f"the input {path!r} is a registered dataset, known only to its workspace; a file of that name is './{path}'")
    if is_local(path):
        return _list_local(path)
    found = _list_remote(path)
    return (item._replace(path=as_given(path, item.path)) for item in found) if "@" in path else found


def _list_local(url: str) -> Iterator[Item]:
    path = local_path(url)
    try:
        if path.is_dir():
            yield from (Item(*found) for found in walk(path))
        elif path.exists():
            stat = path.stat()
            yield Item(str(path), stat.st_size, stat.st_mtime_ns)
        elif GLOB_CHARACTERS.search(str(path)):
            yield from _match_local(path)
        else:
            raise NotFoundError(f"the input {url!r} does not exist (looked for {path})")
    except OSError as error:
        raise StorageError(f"the input {url!r} cannot be listed: {error.strerror} at {error.filename}") from error


def _match_local(path: Path) -> Iterator[Item]:
    top, depth = _fixed_part(str(path))
    if not Path(top).is_dir():
        raise NotFoundError(f"the input {str(path)!r} matches nothing: there is no folder {top}")
    matches = _matcher(str(path))
    return (Item(*found) for found in walk(Path(top), depth) if matches(found[0]))


def _matcher(pattern: str) -> Callable[[str], object]:
    from fsspec.utils import glob_translate

    return re.compile(glob_translate(pattern)).match


def _fixed_part(pattern: str) -> tuple[str, int | None]:
    """The folder above a glob's first special character, and how many levels below it a match can lie (None: any)."""
    fixed = GLOB_CHARACTERS.split(pattern, maxsplit=1)[0].rpartition("/")[0]
    rest = pattern[len(fixed) + 1 :]
    return fixed or "/", None if "**" in rest else rest.count("/") + 1


def _list_remote(url: str) -> Iterator[Item]:
    fs, path = open_file_system(url, use_listings_cache=False)
    try:
        entry = _entry(fs, path, url)
        if entry and entry["type"] == "file":
            yield _item(fs, entry)
        elif entry:
            yield from _below(fs, path)
        elif GLOB_CHARACTERS.search(path):
            matches = _matcher(path)
            yield from (item for item in _below(fs, _fixed_part(path)[0]) if matches(_plain(fs, item.path)))
        else:
            raise NotFoundError(f"the input {url!r} does not exist")
    except OSError as error:
        raise StorageError(f"the input {url!r} cannot be listed: {error}. Check the address and the credentials") from error


def _entry(fs: "AbstractFileSystem", path: str, url: str) -> dict[str, Any] | None:
    try:
        return cast("dict[str, Any]", insist(lambda: fs.info(path), url))
    except FileNotFoundError:
        return None


def _plain(fs: "AbstractFileSystem", path: str) -> str:
    return str(fs._strip_protocol(path))  # noqa: SLF001 - fsspec's documented extension point, public in all but name


def _below(fs: "AbstractFileSystem", folder: str) -> Iterator[Item]:
    if "s3" in fs.protocol:
        yield from _s3_pages(fs, folder)
        return
    if is_azure(fs):
        yield from _azure_blobs(fs, folder)
        return
    found: dict[str, dict[str, Any]] = insist(lambda: fs.find(folder, detail=True), folder)
    for path in sorted(found):
        yield _item(fs, found[path])


def _s3_pages(fs: "AbstractFileSystem", folder: str) -> Iterator[Item]:
    bucket, _, prefix = folder.partition("/")
    request = {"Bucket": bucket, "Prefix": f"{prefix.rstrip('/')}/" if prefix else ""}
    while True:
        page = insist(lambda: fs.call_s3("list_objects_v2", **request), f"s3://{folder}")
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/"):
                yield Item(f"s3://{bucket}/{entry['Key']}", entry["Size"], entry["ETag"].strip('"'))
        if not page.get("IsTruncated"):
            return
        request["ContinuationToken"] = page["NextContinuationToken"]


def _azure_blobs(fs: "AbstractFileSystem", folder: str) -> Iterator[Item]:
    # An item takes about 100 bytes this way. No name holds a null, and it is the least of all characters, so paths decide.
    held = [f"{blob.path}\0{blob.size}\0{blob.etag}".encode() for blob in blobs_below(fs, folder) if not blob.is_folder]
    held.sort()
    for each in held:
        path, size, etag = each.decode().split("\0")
        check_name(fs, path)
        yield Item(f"abfs://{path}", int(size), etag)


def _item(fs: "AbstractFileSystem", entry: dict[str, Any]) -> Item:
    return Item(str(fs.unstrip_protocol(entry["name"])), int(entry["size"] or 0), version_of(entry))


def version_of(entry: dict[str, Any]) -> str:
    """Whatever an fsspec entry holds that changes when the file does."""
    for key in ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "modified", "created"):
        if value := entry.get(key):
            # A listing may say as a number what a look at one file says as a moment.
            return str(value.timestamp() if isinstance(value, datetime) else value).strip('"')
    return ""
