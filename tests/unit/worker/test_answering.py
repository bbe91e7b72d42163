"""What a replica answers, read from its end of the socket."""

import fcntl
import os
import socket
from types import ModuleType

import pytest

from airflow_batchinfer.worker import answering
from airflow_batchinfer.worker.framing import Frame, Unpacker, pack
from airflow_batchinfer.worker.script import Script

HIGH = 1030


def answers(asked: list[bytes], at_once: int, least_descriptor: int = 0, **functions: object) -> list[Frame]:
    module = ModuleType("score")
    vars(module).update(functions)
    told = {"at_once": at_once, "cores": [], "logging_level": "INFO", "surroundings": None, "source": "/", "script": "score.py"}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        descriptor = fcntl.fcntl(theirs, fcntl.F_DUPFD, least_descriptor)
        ours.sendall(b"".join(pack({"ask": number}, body) for number, body in enumerate(asked)) + pack({"shutdown": True}))
        try:
            answering.answer(descriptor, descriptor, told, lambda _: Script(module))
        finally:
            os.close(descriptor)
        theirs.close()
        came = b"".join(iter(lambda: ours.recv(65536), b""))
    ready, *found = Unpacker().feed(came)
    assert "ready" in ready[0]
    return found


@pytest.mark.parametrize("at_once", [1, 8])
def test_a_descriptor_beyond_what_select_knows_is_as_good_as_any(at_once: int):
    found = answers([b"a", b"b", b"c"], at_once, HIGH, run_batch=lambda texts: [len(texts) for _ in texts])
    assert [body for _, body in found] == ([b"1"] if at_once == 1 else [b"3"]) * 3


def test_an_answer_that_is_too_long_is_a_failed_run_and_the_others_of_its_batch_are_answered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answering, "MOST_ANSWER_BYTES", 7)
    found = answers([b"a", b"b"], 8, run_batch=lambda texts: ["xxxxx", "xxxxxx"])
    assert found[0] == ({"of": 0, "status": 200, "seconds": found[0][0]["seconds"]}, b'"xxxxx"')
    assert found[1] == ({"of": 1, "raised": True}, b"the answer that run() returned is 8 bytes long; one may have 7")
