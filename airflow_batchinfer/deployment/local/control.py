"""How others talk to a router: a line of JSON each way over the socket in the service's folder, which only its owner may enter.

The folder's path may be longer than a socket's address can be, so the address leads through an open descriptor of the folder.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_batchinfer.errors import BatchInferError, ConflictError, DeploymentError

ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Look:
    """How often a router wants to be looked after, and how often in a row it may be late with an answer."""

    period_seconds: float
    patience_seconds: float
    most_missed: int


Answering = Callable[[dict[str, Any]], Mapping[str, Any]]
_CONFLICT, _FAULT = "conflict", "fault"


def ask(control: Path, asked: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """One question; OSError if nobody answers."""
    with connected(control, seconds) as connection:
        return ask_on(connection, asked)


def ask_on(connection: socket.socket, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One question on a connection; ConnectionError if whoever was asked has ended."""
    connection.sendall(json.dumps(asked).encode() + b"\n")
    with connection.makefile("rb") as lines:
        line = lines.readline()
    if not line.endswith(b"\n"):
        raise ConnectionError("the router has ended")
    answer: dict[str, Any] = json.loads(line)
    if _CONFLICT in answer:
        raise ConflictError(answer[_CONFLICT])
    if _FAULT in answer:
        raise DeploymentError(answer[_FAULT])
    return answer


@contextmanager
def connected(control: Path, seconds: float) -> Iterator[socket.socket]:
    """A connection to the router."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        with _addressed(control) as address:
            connection.connect(address)
        yield connection


def listening(control: Path) -> socket.socket:
    """The socket to answer on, in place of one that a dead router left."""
    listener = socket.socket(socket.AF_UNIX)
    control.unlink(missing_ok=True)
    with _addressed(control) as address:
        listener.bind(address)
    return listener


async def answer_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answering: Answering) -> None:
    """Answer all questions of one connection."""
    with suppress(ConnectionError, ValueError, asyncio.CancelledError):  # the last when the router ends
        while line := await reader.readline():
            writer.write(json.dumps(_answer(answering, line)).encode() + b"\n")
            await writer.drain()
    writer.close()


def _answer(answering: Answering, line: bytes) -> Mapping[str, Any]:
    try:
        return answering(json.loads(line))
    except ConnectionError:  # who asks is to see what it would see in a moment
        raise
    except ConflictError as error:
        return {_CONFLICT: str(error)}
    except (BatchInferError, OSError, ValueError, KeyError) as error:
        return {_FAULT: f"{type(error).__name__}: {error}"}


@contextmanager
def _addressed(control: Path) -> Iterator[str]:
    if sys.platform != "linux":
        yield str(control)
        return
    folder = os.open(control.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{control.name}"
    finally:
        os.close(folder)
