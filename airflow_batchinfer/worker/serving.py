"""The worker's loop: one frame in, one frame out.

    node                          worker
     | {"script": ...}        ->   |  load, init()
     |                        <-   |  {"ready": seconds} | {"init_failed": ...} | {"unusable": ...}
     | {"run": 7} [items]     ->   |  run(mini_batch), or with "part": [start, stop, of] only of these items
     |                        <-   |  {"done": 7, ...} rows | {"failed": 7, ...}
     | {"shutdown": true}     ->   |  shutdown(), exit
     |                        <-   |  {"ask": 1, "question": ...}, at any time, when the script asks for what the node has
     | {"answered": 1, ...}   ->   |

An exception becomes text here, where it is, so that one that cannot be pickled, printed or encoded hurts nobody.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import json
import logging
import os
import stat
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from . import azureml, formats, items, rows, surroundings, tables, tensorflow_v1
from .describing import described
from .framing import pack
from .inbox import Inbox
from .metrics import metrics
from .script import Script, Unusable, load

if TYPE_CHECKING:
    from .columns import Stamp

_ALL_MAY_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_replying = threading.Lock()


def serve(requests: int, replies: int) -> None:
    """Answer frames until there are none; then the process ends, whatever threads the script has left behind."""
    _arrange_output()
    with os.fdopen(requests, "rb") as stream:
        inbox = Inbox(stream, lambda header: _reply(replies, header))
        first = inbox.next()
        if first and "answers" in first[0]:
            from .answering import answer

            answer(requests, replies, first[0], _load)
            _end()
        script = _start(first[0], replies, inbox) if first else None
        if first and script:
            _answer_frames(inbox, replies, script, first[0])
    _end()


def _answer_frames(inbox: Inbox, replies: int, script: Script, job: Dict[str, Any]) -> None:
    while True:
        frame = inbox.next()
        if frame is None:
            return
        header, payload = frame
        if "shutdown" in header:
            script.shutdown()
            return
        _reply(replies, *_attempt(script, header, json.loads(payload), job))


def _start(job: Dict[str, Any], replies: int, inbox: Inbox) -> Optional[Script]:
    started = time.monotonic()
    if job["surroundings"]:
        surroundings.arrange(surroundings.Surroundings(job["surroundings"], job["source"], job["script"], inbox.ask))
    logging.basicConfig(level=job["logging_level"], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        script = _load(job)
        script.init()
        formats.prepare(job)
    except Unusable as error:
        _reply(replies, {"unusable": str(error)})
    except BaseException as error:
        told = described(error, job["source"])
        if getattr(type(error), "is_final", False) is True:  # of the names of another system: what is not here now will not be
            _reply(replies, {"unusable": f"{told['reason']} ({told['key'].rpartition(' ')[2]})"})
        else:
            _reply(replies, dict(told, init_failed=True))
    else:
        _reply(replies, {"ready": time.monotonic() - started})
        return script
    return None


def _load(job: Dict[str, Any]) -> Script:
    """The script; a module that is not installed will not be at the next try either."""
    try:
        folders = [job["source"], os.path.dirname(job["script"])]
        azureml.serve_names(job["azureml_compat"], folders)
        tensorflow_v1.arrange(job["tensorflow_v1"], job["script"], folders)
        return load(job["script"], job["source"], job["arguments"])
    except ModuleNotFoundError as error:
        where = described(error, job["source"])["key"].rpartition(" ")[2]
        told = f"{where} imports {error.name}, which its Python ({sys.executable}) does not have"
        raise Unusable(f"{told}: name its package in the requirements of the script's environment, or put it beside the script") from error


class _Given(NamedTuple):
    """What a script gets as its mini-batch, or as a part of it: how many items, of how many in all, and those that could not be had."""

    mini_batch: Any
    items: int
    of: int
    lost: List[List[str]]
    keys: Dict[str, str]
    stamp: Stamp


def _attempt(script: Script, asked: Dict[str, Any], said: Any, job: Dict[str, Any]) -> Tuple[Dict[str, Any], bytes]:
    """Run one mini-batch, or a part of it; the reply says what came of it."""
    number: int = asked["run"]
    of: Optional[int] = None
    try:
        given = _take(said, job, asked.get("part"))
        of = given.of
        if given.items == len(given.lost):
            return {"done": number, "items": given.items, "of": of, "rows": 0, "header_bytes": 0, "lost": given.lost}, b""
        metrics.begin()
        result = script.run(given.mini_batch, given.keys)
        found = formats.rows_of(result, job, given.stamp) if job["append_row"] else rows.count_rows(result)
    except (rows.BadResult, tables.BadTable) as error:
        reason = f"{error.what}: {error}"
        # What cannot be read fails before it is cut into parts.
        is_of_all = isinstance(error, tables.BadTable)
        return {"failed": number, "of": of, "reason": reason, "key": reason, "traceback": "", "indivisible": is_of_all}, b""
    except BaseException as error:
        return dict(described(error, job["source"]), failed=number, of=of), b""
    done = {"done": number, "items": given.items, "of": of, "rows": found.number, "header_bytes": found.header_bytes, "lost": given.lost}
    done.update(schema=found.schema, named=found.named)
    if logged := metrics.end():
        done["metrics"] = logged
    return done, found.text


def _take(said: Any, job: Dict[str, Any], part: Optional[List[int]]) -> _Given:
    """A mini-batch as the plan's line says, or as the node made it of that."""
    keys = said["keys"] if isinstance(said, dict) else {}
    if "table" in said:
        frame = tables.read(said["slices"], job["tables"][said["table"]])
        of = len(frame)
        within = _within(of, part) if part else slice(None)
        stamp = items.of_rows(said["slices"], len(frame), within) if job["include_item"] else []
        if part:
            frame = frame.iloc[within].reset_index(drop=True)
        tables.add_keys(frame, keys)
        return _Given(frame, len(frame), of, [], keys, stamp)
    cells = said["items"] if isinstance(said, dict) else said
    of = len(cells)
    if part:
        cells = cells[_within(of, part)]
    paths, lost = _present(cells)
    return _Given(paths, len(cells), of, lost, keys, items.of_files(cells, paths) if job["include_item"] else [])


def _within(count: int, part: List[int]) -> slice:
    """Where a part is among so many; of a table that was cut without being read the node knows only about how many there are."""
    start, stop, of = part
    return slice(start * count // of, stop * count // of)


def _present(cells: List[List[Any]]) -> Tuple[List[str], List[List[str]]]:
    """The items that are as they were planned, and the others with what is wrong with them.

    This is most of what a mini-batch costs beside `run()`, so one call to the kernel must do for a file that is in order.
    """
    paths, lost, look = [], [], os.stat
    for path, size, modified, *_ in cells:
        try:
            found = look(path)
        except OSError as error:
            lost.append([path, f"cannot be read: {error.strerror}"])
            continue
        if size is not None and (found.st_size != size or found.st_mtime_ns != modified):
            lost.append([path, "changed since planned"])
        elif found.st_mode & _ALL_MAY_READ == _ALL_MAY_READ or os.access(path, os.R_OK):
            paths.append(path)
        else:
            lost.append([path, "cannot be read: Permission denied"])
    return paths, lost


def _reply(replies: int, header: Dict[str, Any], payload: bytes = b"") -> None:
    _flush()
    view = memoryview(pack(header, payload))
    with _replying:
        while view:
            view = view[os.write(replies, view) :]


def _arrange_output() -> None:
    """Lines reach the log as they are printed, and no character can stop them."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    faulthandler.enable()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the script closed it; that is its own affair
            stream.flush()


def _end() -> None:
    """Leave without waiting for the script's threads, but not without what it registered with atexit."""
    try:
        atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way to leave threads behind and still do this
    except BaseException:
        traceback.print_exc()
    _flush()
    os._exit(0)
