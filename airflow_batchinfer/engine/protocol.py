"""What passes between a node and a worker, as values. The frames themselves are `worker.framing`'s.

    node                                        worker
     | Start: script, arguments, how rows look ->  |  load, init()
     |                        <- Ready | InitFailed | Unusable
     | run 7 [items]                          ->   |  run(mini_batch)
     | run 8 [items]  (may wait in the pipe)  ->   |
     |                        <- Done 7, rows | AttemptFailed 7
     | shutdown                               ->   |  shutdown(), exit

Answers come in the order of the requests. A frame that is none of these is a bug of ours or a script that wrote to our
pipe: either way the worker is not to be trusted any more.
"""

import json
from dataclasses import dataclass
from typing import Any

from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.worker.framing import Frame, pack


@dataclass(frozen=True)
class Start:
    """What a worker is told first."""

    script: str
    source: str
    arguments: tuple[str, ...]
    appends_rows: bool
    to_csv: dict[str, Any]
    logging_level: str


@dataclass(frozen=True)
class Ready:
    """`init()` returned."""

    seconds: float


@dataclass(frozen=True)
class InitFailed:
    """Loading the script or `init()` raised."""

    failure: Failed


@dataclass(frozen=True)
class Unusable:
    """The script can never work as it is."""

    reason: str


@dataclass(frozen=True)
class Done:
    """`run()` returned rows; `lost` are items that could not be handed to it, with the reason."""

    mini_batch: int
    items: int
    rows: int
    lost: tuple[tuple[str, str], ...]
    text: bytes
    header_bytes: int


@dataclass(frozen=True)
class AttemptFailed:
    """`run()` raised or returned something unusable."""

    mini_batch: int
    failure: Failed


Answer = Ready | InitFailed | Unusable | Done | AttemptFailed


class Garbled(Exception):
    """A frame that means nothing."""


def start_frame(start: Start) -> bytes:
    """The first frame."""
    return pack(
        {
            "script": start.script,
            "source": start.source,
            "arguments": list(start.arguments),
            "append_row": start.appends_rows,
            "to_csv": start.to_csv,
            "logging_level": start.logging_level,
        }
    )


def run_frame(mini_batch: int, items: bytes) -> bytes:
    """A mini-batch to run; its items are a line of the plan, or look like one."""
    return pack({"run": mini_batch}, items)


def shutdown_frame() -> bytes:
    """The last frame."""
    return pack({"shutdown": True})


def read_answer(frame: Frame) -> Answer:
    """What a worker's frame says."""
    header, payload = frame
    try:
        match header:
            case {"done": number, "items": items, "rows": rows, "lost": lost, "header_bytes": header_bytes}:
                number, items, rows, header_bytes = map(_whole, (number, items, rows, header_bytes))
                return Done(number, items, rows, tuple((str(path), str(reason)) for path, reason in lost), payload, header_bytes)
            case {"failed": number}:
                return AttemptFailed(number, _failure(header))
            case {"ready": seconds}:
                return Ready(seconds)
            case {"init_failed": _}:
                return InitFailed(_failure(header))
            case {"unusable": reason}:
                return Unusable(reason)
            case _:
                pass
    except (KeyError, TypeError, ValueError) as error:
        raise Garbled(json.dumps(header)[:200]) from error
    raise Garbled(json.dumps(header)[:200])


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a number of things")
    return value


def _failure(header: dict[str, Any]) -> Failed:
    return Failed(str(header["reason"]), str(header["key"]), str(header["traceback"]))
