"""The worker as a replica of a service: it answers requests instead of scoring mini-batches.

    router                        replica
     | {"answers": ...}       ->   |  load, init()
     |                        <-   |  {"ready": seconds, ...what run takes} | {"init_failed": ...} | {"unusable": ...}
     | {"ask": 7} body        ->   |  run(body as text)
     | {"ask": 8} body        ->   |  waits, or runs in a thread of its own, or in the same run_batch([7, 8])
     |                        <-   |  {"of": 7, "status": 200, ...} JSON
     | {"shutdown": true}     ->   |  shutdown(), exit

Nothing is asked that was not answered, in whatever order. A request's body is bytes until here.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from . import calling, surroundings
from .calling import Asked, Caller, Reply
from .describing import described
from .framing import Frame, Unpacker, pack
from .script import Script, Unusable

MOST_ANSWER_BYTES = 100 << 20
READ_BYTES = 1 << 16  # more would be memory that the kernel gives and takes with each read
Load = Callable[[Dict[str, Any]], Script]


def answer(requests: int, replies: int, told: Dict[str, Any], load: Load) -> None:
    """Load the script, and answer until the router asks for the end or is gone."""
    out = _Replies(replies)
    caller = _start(told, out, load)
    if caller is None:
        return
    frames = _Frames(requests)
    at_once = int(told["at_once"])
    if at_once == 1:
        _one_by_one(frames, out, caller)
    elif caller.batches:
        _in_batches(frames, out, caller, at_once)
    else:
        _in_threads(frames, out, caller, at_once)


def _start(told: Dict[str, Any], out: _Replies, load: Load) -> Optional[Caller]:
    started = time.monotonic()
    if told["cores"]:
        os.sched_setaffinity(0, told["cores"])
    logging.basicConfig(level=told["logging_level"], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if told["surroundings"]:
        surroundings.arrange(surroundings.Surroundings(told["surroundings"], told["source"], told["script"], _nobody_to_ask))
    try:
        script = load(told)
        init = script.function("init")
        if init:
            init()
        caller = calling.caller_of(script, os.path.basename(told["script"]))
    except Unusable as error:
        out.send({"unusable": str(error)})
    except BaseException as error:
        out.send(dict(described(error, told["source"]), init_failed=True))
    else:
        out.send(dict(caller.takes, ready=time.monotonic() - started))
        return caller
    return None


def _nobody_to_ask(question: surroundings.Question) -> None:
    raise RuntimeError(f"{question}: a service has the models that it was given, and no job to ask; give them with --model")


def _one_by_one(frames: _Frames, out: _Replies, caller: Caller) -> None:
    """In the main thread, where some libraries want to be called."""
    for asked in frames.all(caller.script):
        out.reply(asked, *_timed(caller, asked))


def _in_batches(frames: _Frames, out: _Replies, caller: Caller, most: int) -> None:
    """What has come is one batch; nobody waits for more to come."""
    while True:
        batch = frames.waiting(most, caller.script)
        if not batch:
            return
        began = time.monotonic()
        answered = caller.run_batch(batch)
        seconds = time.monotonic() - began
        for asked, reply in zip(batch, answered):
            out.reply(asked, reply, seconds)


def _in_threads(frames: _Frames, out: _Replies, caller: Caller, count: int) -> None:
    given: queue.SimpleQueue[Asked] = queue.SimpleQueue()

    def work() -> None:
        while True:
            asked = given.get()
            out.reply(asked, *_timed(caller, asked))

    for number in range(count):
        threading.Thread(target=work, name=f"run-{number}", daemon=True).start()
    for asked in frames.all(caller.script):
        given.put(asked)


def _timed(caller: Caller, asked: Asked) -> Tuple[Reply, float]:
    began = time.monotonic()
    reply = caller.run(asked)
    return reply, time.monotonic() - began


class _Frames:
    """What the router asks, as it comes."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._more = select.poll()  # select() ends at descriptor 1023, and a router with many callers has higher ones
        self._more.register(requests, select.POLLIN)
        self._unpacker = Unpacker()
        self._come: List[Frame] = []
        self._ended = False

    def all(self, script: Script) -> Iterator[Asked]:
        """One after the other, until the end."""
        while True:
            batch = self.waiting(1, script)
            if not batch:
                return
            yield batch[0]

    def waiting(self, most: int, script: Script) -> List[Asked]:
        """Wait for one, then take what else has come; nothing at the end."""
        while not self._come and not self._ended:
            self._read()
        while len(self._come) < most and not self._ended and self._more.poll(0):
            self._read()
        taken: List[Asked] = []
        while self._come and len(taken) < most:
            header, body = self._come[0]
            if "shutdown" in header:
                self._ended = True
                if not taken:
                    script.shutdown()
                    self._come = []
                return taken
            del self._come[0]
            taken.append(Asked(header, body))
        return taken

    def _read(self) -> None:
        piece = os.read(self._requests, READ_BYTES)
        self._ended = not piece
        self._come += self._unpacker.feed(piece)


class _Replies:
    """Whole frames, whichever thread sends them."""

    def __init__(self, replies: int) -> None:
        self._replies = replies
        self._sending = threading.Lock()

    def reply(self, asked: Asked, reply: Reply, seconds: float) -> None:
        """Answer one request; a traceback goes to the router's log, and not to the caller."""
        header: Dict[str, Any] = {"of": asked.header["ask"]}
        if len(reply.body) > MOST_ANSWER_BYTES:
            told = f"the answer that run() returned is {len(reply.body):,} bytes long; one may have {MOST_ANSWER_BYTES:,}"
            reply = reply._replace(raised=True, traceback=told)
        if reply.raised:
            self.send(dict(header, raised=True), reply.traceback.encode())
            return
        header.update(status=reply.status, seconds=round(seconds, 6))
        if reply.headers is not None:
            header["headers"] = reply.headers
        self.send(header, reply.body)

    def send(self, header: Dict[str, Any], payload: bytes = b"") -> None:
        """One frame, after all that was printed before it."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:  # the script closed it; that is its own affair  # noqa: S112
                continue
        frame = memoryview(pack(header, payload))
        with self._sending:
            while frame:
                frame = frame[os.write(self._replies, frame) :]
