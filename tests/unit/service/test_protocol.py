"""Frames between router and replica."""

import json
from typing import Any

import pytest

from airflow_batchinfer.service.protocol import (
    Garbled,
    Question,
    Ready,
    Start,
    Told,
    Unusable,
    ask_frame,
    read_frame,
    shutdown_frame,
    start_frame,
)
from airflow_batchinfer.service.wire import Answered, Failed, Failure
from airflow_batchinfer.worker.framing import Unpacker

HEADERS = [(b"x-tenant", b"a"), (b"authorization", b"Bearer secret"), (b"content-type", b"text/plain")]


def unpacked(frame: bytes) -> tuple[dict[str, Any], bytes]:
    [found] = Unpacker().feed(frame)
    return found


def asked(method: str = "POST", **wants: bool) -> dict[str, Any]:
    ready = Ready(0.0, **{"batches": False, "raw": False, "named": False, "headers": False, **wants})
    return unpacked(ask_frame(7, Question(b"body", method, "/score", b"a=1", b"text/plain", HEADERS), ready))[0]


def test_a_replica_is_told_only_what_its_script_wants():
    assert asked() == {"ask": 7}
    assert asked("GET") == {"ask": 7, "query": True}
    assert asked(named=True) == {"ask": 7, "type": "text/plain"}
    assert asked(raw=True, headers=True)["url"] == "/score?a=1"


def test_no_replica_is_told_the_key():
    assert asked(headers=True)["headers"] == [["X-Tenant", "a"], ["Content-Type", "text/plain"]]


def test_a_body_passes_as_it_is():
    body = bytes(range(256))
    ready = Ready(0.0, batches=False, raw=False, named=False, headers=False)
    assert unpacked(ask_frame(1, Question(body, "POST", "/score", b"", None, []), ready))[1] == body


def test_the_first_and_the_last_frame():
    header, _ = unpacked(start_frame(Start("/a/score.py", "/a", ("--x",), at_once=4)))
    assert (header["answers"], header["script"], header["arguments"], header["at_once"]) == (True, "/a/score.py", ["--x"], 4)
    assert unpacked(shutdown_frame()) == ({"shutdown": True}, b"")


@pytest.mark.parametrize(
    ("header", "payload", "said"),
    [
        ({"of": 7, "status": 200, "seconds": 0.5}, b"1", Told(7, Answered(200, b"1", 0.5))),
        (
            {"of": 7, "status": 201, "seconds": 0.5, "headers": [["Content-Type", "image/png"]]},
            b"1",
            Told(7, Answered(201, b"1", 0.5, ((b"content-type", b"image/png"),))),
        ),
        ({"of": 7, "raised": True}, b"Traceback", Told(7, Failed(Failure.RAISED, None, "Traceback"))),
        (
            {"ready": 0.1, "batches": True, "raw": False, "named": False, "headers": True, "interface": {}},
            b"",
            Ready(0.1, batches=True, raw=False, named=False, headers=True, interface={}),
        ),
        ({"init_failed": True, "reason": "no model", "traceback": "..."}, b"", Unusable("no model", "...")),
        ({"unusable": "no run"}, b"", Unusable("no run")),
    ],
    ids=lambda value: json.dumps(value)[:30] if isinstance(value, dict) else "",
)
def test_what_a_replica_says_is_a_value(header: dict[str, Any], payload: bytes, said: object):
    assert read_frame((header, payload)) == said


@pytest.mark.parametrize(
    "header", [{}, {"of": "7", "raised": True}, {"of": 7}, {"init_failed": True}, {"ready": True}, {"of": 7, "status": 200}], ids=repr
)
def test_what_is_no_answer_is_refused(header: dict[str, Any]):
    with pytest.raises(Garbled):
        read_frame((header, b""))
