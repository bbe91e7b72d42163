"""What passes between the router and a replica, as values; the frames are `worker.framing`'s, the other side `worker.answering`.

A body is bytes here, in both directions: it is neither read nor made. A frame that is none of these is a bug of ours or a script
that wrote to our socket: either way the replica is not to be trusted any more.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_batchinfer.service.wire import Answered, Failed, Failure, Outcome
from airflow_batchinfer.worker.framing import Frame, pack, pack_encoded


@dataclass(frozen=True)
class Start:
    """What a replica is told first."""

    script: str
    source: str
    arguments: tuple[str, ...] = ()
    logging_level: str = "INFO"
    at_once: int = 1
    azureml_compat: str = "auto"
    tensorflow_v1: str = "auto"
    surroundings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ready:
    """`init()` returned. What the script wants of a request besides its body, and how it describes what it takes."""

    seconds: float
    batches: bool
    raw: bool
    named: bool
    headers: bool
    interface: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unusable:
    """The script cannot be loaded, or its `init()` raised; `of_the_script` is its traceback."""

    reason: str
    of_the_script: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """How one request ended at the replica."""

    number: int
    outcome: Outcome


Said = Ready | Unusable | Told


@dataclass(frozen=True, slots=True)
class Question:
    """A request as a replica gets it: of a GET the body is the query. The key stays here."""

    body: bytes
    method: str
    path: str
    query: bytes
    content_type: bytes | None
    headers: Sequence[tuple[bytes, bytes]]


class Garbled(Exception):
    """A frame that means nothing."""


def start_frame(start: Start, cores: Sequence[int] = ()) -> bytes:
    """The first frame; without cores it may use them all."""
    return pack(
        {
            "answers": True,
            "script": start.script,
            "source": start.source,
            "arguments": list(start.arguments),
            "logging_level": start.logging_level,
            "at_once": start.at_once,
            "cores": list(cores),
            "azureml_compat": start.azureml_compat,
            "tensorflow_v1": start.tensorflow_v1,
            "surroundings": dict(start.surroundings),
        }
    )


def ask_frame(number: int, question: Question, ready: Ready) -> bytes:
    """One request, with as much of it as the script wants."""
    if not (ready.headers or ready.raw or ready.named or question.method == "GET"):
        return pack_encoded(b'{"ask":%d}' % number, question.body)  # the usual one, in a third of the time
    header: dict[str, Any] = {"ask": number}
    if question.method == "GET":
        header["query"] = True
    elif question.content_type and ready.named:
        header["type"] = question.content_type.decode("latin-1")
    if ready.headers:
        kept = [(name, value) for name, value in question.headers if name != b"authorization"]
        header["headers"] = [(name.decode("latin-1").title(), value.decode("latin-1")) for name, value in kept]
    if ready.raw:
        query = question.query.decode("latin-1")
        header.update(method=question.method, url=f"{question.path}?{query}" if query else question.path)
    return pack(header, question.body)


def shutdown_frame() -> bytes:
    """The last frame."""
    return pack({"shutdown": True})


def read_frame(frame: Frame) -> Said:
    """What a replica's frame says."""
    header, payload = frame
    try:
        match header:
            case {"of": int(number), "status": int(status), "seconds": float(seconds)}:
                return Told(number, Answered(status, payload, seconds, headers=_headers(header.get("headers"))))
            case {"of": int(number), "raised": True}:
                return Told(number, Failed(Failure.RAISED, of_the_script=payload.decode("utf-8", "replace")))
            case {"ready": float(seconds), "batches": bool(batches), "raw": bool(raw), "named": bool(named), "headers": bool(wanted)}:
                return Ready(seconds, batches, raw, named, wanted, header["interface"])
            case {"init_failed": _}:
                return Unusable(str(header["reason"]), str(header["traceback"]))
            case {"unusable": reason}:
                return Unusable(str(reason))
            case _:
                pass
    except (KeyError, TypeError, ValueError) as error:
        raise Garbled(json.dumps(header)[:200]) from error
    raise Garbled(json.dumps(header)[:200])


def _headers(given: Any) -> tuple[tuple[bytes, bytes], ...] | None:  # noqa: ANN401 - JSON
    return None if given is None else tuple((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in given)
