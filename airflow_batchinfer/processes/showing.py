"""What children print, shown as it comes: never faster than can be read, and never so that who shows it waits for a terminal."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

SHOWN_BYTES_PER_SECOND = 64 << 10
MOST_LINES_WAITING = 10_000
MOST_CHARACTERS = 2_000
FAREWELL_SECONDS = 2.0
Show = Callable[[int, str], None]


class Budget:
    """How many bytes may be shown: so many for each second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = float("-inf")
        self._left = 0

    @property
    def left(self) -> int:
        """How many may be shown in this second."""
        if self._clock() - self._second >= 1:
            self._second, self._left = self._clock(), SHOWN_BYTES_PER_SECOND
        return self._left

    def take(self, wanted: int) -> int:
        """How many of these may be shown now."""
        allowed = min(wanted, self.left)
        self._left -= allowed
        return allowed


class Showing:
    """Shows lines from a thread of its own; more than can wait are left out."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._waiting: queue.Queue[tuple[int, str] | None] = queue.Queue(MOST_LINES_WAITING)
        self._thread = threading.Thread(target=self._run, name="batchinfer-showing", daemon=True)
        self._thread.start()

    def __call__(self, number: int, line: str) -> None:
        with suppress(queue.Full):
            self._waiting.put_nowait((number, line))

    def close(self, seconds: float) -> None:
        """Show what waits, if that does not take too long."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while said := self._waiting.get():
            try:
                self._show(*said)
            except Exception:
                log.debug("a line that a worker printed could not be shown", exc_info=True)
