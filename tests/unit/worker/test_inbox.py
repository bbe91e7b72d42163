"""Frames for the loop and answers for whoever asks come through one pipe, and everyone gets their own."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_batchinfer.worker.framing import pack
from airflow_batchinfer.worker.inbox import Inbox


class Node:
    """The other end."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.asked = threading.Semaphore(0)
        self.questions: list[dict[str, Any]] = []
        self.stream = os.fdopen(reading, "rb")
        self.inbox = Inbox(self.stream, self._note)

    def _note(self, header: dict[str, Any]) -> None:
        self.questions.append(header)
        self.asked.release()

    def send(self, **header: object) -> None:
        os.write(self._writing, pack(header))

    def end(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.end()
    node.stream.close()


def test_frames_come_in_their_order_until_the_pipe_ends(node: Node):
    node.send(run=1)
    node.send(run=2)
    node.end()
    assert [node.inbox.next(), node.inbox.next(), node.inbox.next()] == [({"run": 1}, b""), ({"run": 2}, b""), None]


def test_an_answer_finds_its_way_past_the_frames_that_wait_before_it(node: Node):
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(node.inbox.ask, "what?")
        node.asked.acquire()
        assert node.questions == [{"ask": 1, "question": "what?"}]
        node.send(run=1)
        node.send(answered=1, answer="that")
        assert answer.result(10) == "that"
    assert node.inbox.next() == ({"run": 1}, b"")


def test_a_thread_may_ask_while_the_loop_waits_for_work(node: Node):
    with ThreadPoolExecutor(3) as pool:
        loop = pool.submit(node.inbox.next)
        answers = [pool.submit(node.inbox.ask, number) for number in (10, 20)]
        node.asked.acquire()
        node.asked.acquire()
        for asked in reversed(node.questions):
            node.send(answered=asked["ask"], answer=asked["question"] + 1)
        assert [answer.result(10) for answer in answers] == [11, 21]
        node.send(run=7)
        assert loop.result(10) == ({"run": 7}, b"")


def test_who_waits_for_an_answer_that_never_comes_is_told_so(node: Node):
    with ThreadPoolExecutor(2) as pool:
        loop, answer = pool.submit(node.inbox.next), pool.submit(node.inbox.ask, "what?")
        node.asked.acquire()
        node.end()
        assert loop.result(10) is None
        with pytest.raises(EOFError, match="the node ended before it answered"):
            answer.result(10)
