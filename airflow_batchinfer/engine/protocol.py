"""What passes between a node and a worker, as values. The frames themselves are `worker.framing`'s.

    node                                        worker
     | Start: script, arguments, how rows look ->  |  load, init()
     |                        <- Ready | InitFailed | Unusable
     | run 7 [items]                          ->   |  run(mini_batch)
     | run 8 [items]  (may wait in the pipe)  ->   |
     |                        <- Done 7, rows | AttemptFailed 7
     |                        <- Asked 1, a question (at any time)
     | answered 1             ->   |
     | shutdown                               ->   |  shutdown(), exit

Answers come in the order of the requests. A frame that is none of these is a bug of ours or a script that wrote to our
pipe: either way the worker is not to be trusted any more.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airflow_batchinfer.engine.isolation import Part
from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.tallies import Tally, read_tallies
from airflow_batchinfer.worker.framing import Frame, pack
from airflow_batchinfer.worker.kinds import Kind


@dataclass(frozen=True)
class Start:
    """What a worker is told first."""

    script: str
    source: str
    arguments: tuple[str, ...]
    appends_rows: bool
    to_csv: dict[str, Any]
    logging_level: str
    tables: tuple[dict[str, Any], ...] = ()
    result_format: str = "txt"
    include_item: bool = False
    azureml_compat: str = "auto"
    tensorflow_v1: str = "auto"
    surroundings: Mapping[str, Any] = field(default_factory=dict)


class Call(NamedTuple):
    """What a worker is given: a mini-batch, or a part of one."""

    mini_batch: int
    part: Part | None = None


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
    """`run()` returned rows for so many items; `lost` are those that could not be handed to it, with the reason.

    `of` are how many the whole mini-batch has, of which this may be a part; `named` says whether the script named the columns;
    `metrics` are what it logged by name.
    """

    mini_batch: int
    items: int
    rows: int
    lost: tuple[tuple[str, str], ...]
    text: bytes
    header_bytes: int
    schema: tuple[tuple[str, Kind], ...] | None = None
    of: int | None = None
    named: bool = False
    metrics: Mapping[str, Tally] = field(default_factory=dict)


@dataclass(frozen=True)
class AttemptFailed:
    """`run()` raised or returned something unusable."""

    mini_batch: int
    failure: Failed


@dataclass(frozen=True)
class Asked:
    """The script asks for what the node has, and waits for it."""

    number: int
    question: Mapping[str, Any]


Answer = Ready | InitFailed | Unusable | Done | AttemptFailed | Asked


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
            "format": start.result_format,
            "include_item": start.include_item,
            "tables": list(start.tables),
            "azureml_compat": start.azureml_compat,
            "tensorflow_v1": start.tensorflow_v1,
            "surroundings": start.surroundings,
        }
    )


def run_frame(call: Call, items: bytes) -> bytes:
    """A mini-batch to run, or a part of it; `items` are those of the whole, a line of the plan or what looks like one."""
    return pack({"run": call.mini_batch} | ({"part": call.part} if call.part else {}), items)


def answer_frame(number: int, answer: Mapping[str, Any]) -> bytes:
    """What a script asked for."""
    return pack({"answered": number, "answer": answer})


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
                lost = tuple((str(path), str(reason)) for path, reason in lost)
                columns, named = _columns(header.get("schema")), header.get("named") is True
                of, metrics = _known(header.get("of")), read_tallies(header.get("metrics"))
                return Done(number, items, rows, lost, payload, header_bytes, columns, of, named, metrics)
            case {"failed": number}:
                return AttemptFailed(number, _failure(header))
            case {"ask": number, "question": dict(question)}:
                return Asked(_whole(number), question)
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


def _columns(schema: Any) -> tuple[tuple[str, Kind], ...] | None:  # noqa: ANN401 - JSON
    return None if schema is None else tuple((str(name), kind) for name, kind in schema)


def _failure(header: dict[str, Any]) -> Failed:
    said = str(header["reason"]), str(header["key"]), str(header["traceback"])
    return Failed(*said, indivisible=header.get("indivisible") is True, of=_known(header.get("of")))


def _known(value: object) -> int | None:
    return None if value is None else _whole(value)
