"""Brings what a URL names to a local folder: a file by http(s), a file or a folder from anything that fsspec opens.

What comes is written to disk as it comes, never held in memory. What is there after an error is rubbish: give a folder
that is thrown away then. By http(s) it is httpx that asks, since fsspec's own way needs aiohttp, which does not come with
Airflow. No error shows a URL's user, password or query: they may be secrets.
"""

import errno
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from airflow_batchinfer.errors import ConfigError, NotFoundError, StorageError, UserError
from airflow_batchinfer.registry.member_names import Tree, fault_of, shown
from airflow_batchinfer.storage import blobs_below, insist, is_azure, is_local, open_file_system, split_connection, split_protocol

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

Answer = TypeVar("Answer")

PIECE_BYTES = 1 << 20
CONNECT_SECONDS = 10
SILENCE_SECONDS = 60  # between two pieces of an answer, not for all of it
_MISSING = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_PACKED = ("gzip", "x-gzip")
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def download(url: str, folder: Path) -> Path:
    """Bring the file or folder at a URL into a local folder, under its own name there."""
    if _is_http(url):
        return _by_http(url, folder)
    fs, top = open_file_system(url, use_listings_cache=False)
    target = folder / _name(url, top.rstrip("/").rpartition("/")[2])
    entry = _ask(lambda: fs.info(top), url, target)
    if entry["type"] != "directory":
        _get(fs, entry, url, target)
        return target
    entries = _ask(lambda: _below(fs, top), url, target)
    target.mkdir()
    for path, place in _places(url, top, entries).items():
        _get(fs, entries[path], str(fs.unstrip_protocol(path)), target / place)
    return target


def without_secrets(url: str) -> str:
    """A URL as errors show it: without user, password and query. What stands before the @ of an object store is a name."""
    if is_local(url) or split_connection(url)[0]:
        return url
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"the model path {url!r} is no URL: {error}") from error
    shown_parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return (shown_parts._replace(query="", fragment="") if _is_http(url) else shown_parts).geturl()


def _is_http(url: str) -> bool:
    return split_protocol(url)[0] in ("http", "https")


def _name(url: str, name: str) -> str:
    if name in ("", ".") or "/" in name or fault_of(name):
        raise ConfigError(f"the model path {url}: its last part must name a file or a folder, and {shown(name)} cannot")
    return name


def _places(url: str, top: str, entries: dict[str, Any]) -> dict[str, str]:
    """Where the files below a folder go; whoever wrote them may have called them anything."""
    start = f"{top.rstrip('/')}/"
    places = {path: path.removeprefix(start) for path in sorted(entries) if path.startswith(start) and not path.endswith("/")}
    tree = Tree()
    faults = [
        f"the model path {url}: {shown(place)} {fault}; rename it"
        for place in places.values()
        if (fault := fault_of(place) or _empty_part(place) or tree.add(place))
    ]
    if faults:
        raise ConfigError(faults)
    return places


def _empty_part(place: str) -> str | None:
    return "has a part in its name that says nothing" if {"", "."} & set(place.split("/")) else None


def _below(fs: "AbstractFileSystem", top: str) -> dict[str, Any]:
    if is_azure(fs):
        return {blob.path: {"name": blob.path, "size": blob.size} for blob in blobs_below(fs, top) if not blob.is_folder}
    return dict(fs.find(top, detail=True))


def _get(fs: "AbstractFileSystem", entry: dict[str, Any], url: str, target: Path) -> None:
    def get() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        fs.get_file(entry["name"], str(target))
        came_bytes = target.stat().st_size
        if entry["size"] not in (None, came_bytes):
            raise OSError(f"{came_bytes:,} bytes came of {entry['size']:,}: it was cut off, or changed meanwhile")

    _ask(get, url, target)


def _by_http(url: str, folder: Path) -> Path:
    import httpx

    told = without_secrets(url)
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    target = folder / _name(told, name)
    # A file must come as it is: unpacked on its way, it would not be what was published.
    asked = {"Accept-Encoding": "identity", "User-Agent": "airflow-batchinfer"}
    timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)

    def get() -> UserError | None:
        try:
            with httpx.stream("GET", url, headers=asked, timeout=timeout, follow_redirects=True) as answer:
                if fault := _fault(told, answer.status_code, answer.reason_phrase) or _encoding_fault(told, name, answer.headers):
                    return fault
                with target.open("wb") as file:
                    file.writelines(answer.iter_raw(PIECE_BYTES))
        except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.UnsupportedProtocol) as error:
            return ConfigError(f"the model path {told} cannot be downloaded: {error}; check the address")
        return None

    if fault := _ask(get, told, target):
        raise fault
    return target


def _fault(url: str, status: int, reason: str) -> UserError | None:
    """What is wrong for good; what may work later is raised."""
    answer = f"the server answers {status} {reason}".rstrip()
    if status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise OSError(answer)
    if status in _MISSING:
        return NotFoundError(f"the model path {url} does not exist: {answer}; check the address")
    if status != HTTPStatus.OK:
        return ConfigError(f"the model path {url}: {answer}; check the address, and whether it may be read without a login")
    return None


def _encoding_fault(url: str, name: str, headers: Any) -> UserError | None:  # noqa: ANN401 - httpx's own
    """Some servers call a .tgz a packed .tar; that is the file itself. Anything else that is packed is another file."""
    encoding = headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity" or (encoding in _PACKED and name.lower().endswith((".gz", ".tgz"))):
        return None
    return ConfigError(f"the model path {url}: the server sends it packed by {encoding} although it was asked not to; give another address")


def _ask(ask: Callable[[], Answer], url: str, target: Path) -> Answer:
    """Ask until there is an answer; only where our own disk is full, asking again is of no use."""

    def ask_once() -> Answer | OSError:
        try:
            return ask()
        except OSError as error:
            if error.errno not in _DISK_IS_FULL:
                raise
            return error

    try:
        answer = insist(ask_once, url)
    except FileNotFoundError as error:
        raise NotFoundError(f"the model path {url} does not exist ({error})") from error
    except PermissionError as error:
        raise ConfigError(f"the model path {url} may not be read: {error}; check the credentials") from error
    except OSError as error:
        raise StorageError(f"the model path {url} cannot be read: {error}") from error
    if isinstance(answer, OSError):
        where = f"{target.parent}: models are downloaded to this machine's temporary folder (TMPDIR); free some space"
        raise StorageError(f"{answer.strerror} at {where}") from answer
    return answer
