"""What processes there are: those of one test, found by a mark in their environment; and how to wait for anything.

A process that someone started for a test inherits the mark, however it is daemonised, unless it was given another
environment on purpose. Nothing here sleeps for a fixed time: whoever waits names a condition and a deadline.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

MARK = "BATCHINFER_TEST_MARK"
POLL_SECONDS = 0.02
Found = TypeVar("Found")


def wait_until(found: Callable[[], Found], what: str, seconds: float = 20.0) -> Found:
    """Ask until the answer is true, and give it."""
    never = threading.Event()
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for this, in vain: {what}")
        never.wait(POLL_SECONDS)
    return answer


def marked_processes(mark: str) -> list[int]:
    """The processes with this mark that live; zombies have no environment any more."""
    needle = f"{MARK}={mark}\0".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                environment = Path(entry.path, "environ").read_bytes()
            except OSError:
                continue
            if needle in environment:
                found.append(int(entry.name))
    return found


def children(pid: int) -> list[int]:
    """The children of a process, the oldest first; none of one that is gone."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        found = [child for thread in threads for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split()]
    except OSError:
        return []
    return sorted(map(int, found))


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def wait_for_the_end(pid: int, seconds: float) -> None:
    """Wait until a process, which need not be our child, is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        assert ended.poll(seconds * 1000), f"process {pid} still lives after {seconds:g} s"
    finally:
        os.close(descriptor)
