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
