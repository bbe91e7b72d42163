"""What a person reads in a node's log in Airflow: a line of progress now and then, and what the workers printed, folded.

Nothing here decides. Whatever is logged goes through Airflow's masking of secrets.
"""

import logging
import re
import time
from collections.abc import Callable
from threading import RLock

from airflow_batchinfer.engine.progress import Progress
from airflow_batchinfer.planning.thresholds import counted

log = logging.getLogger(__name__)

LINE_SECONDS = 10.0
# Lines are held back no longer than that, and no more of them, to make one fold.
FOLD_SECONDS = 2.0
FOLD_LINES = 200
_MARK = re.compile("::((?:end)?group)::")


class TaskLog:
    """Tells a node's progress, and folds what its workers print. The two come from different threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = RLock()
        self._told: Progress | None = None
        self._told_at = 0.0
        self._printed: list[str] = []
        self._printed_since = 0.0

    def progress(self, progress: Progress) -> None:
        """Called several times a second; tells the first, then one every few seconds, and the last."""
        now = self._clock()
        with self._lock:
            if self._printed and now - self._printed_since >= FOLD_SECONDS:
                self.flush()
            if self._is_due(progress, now):
                self._told, self._told_at = progress, now
                log.info("%s", progress)

    def _is_due(self, progress: Progress, now: float) -> bool:
        told = self._told
        if told is None or (progress.is_done and not told.is_done):
            return True
        is_news = not progress.is_done and str(progress) != str(told)
        return is_news and now - self._told_at >= LINE_SECONDS

    def printed(self, worker: int, line: str) -> None:
        """Keep a line for the next fold."""
        with self._lock:
            if not self._printed:
                self._printed_since = self._clock()
            self._printed.append(f"worker {worker} | {line}")
            if len(self._printed) >= FOLD_LINES:
                self.flush()

    def flush(self) -> None:
        """Write what is held back, as one fold."""
        with self._lock:
            lines, self._printed = self._printed, []
            if lines:
                folded("What the workers printed: " + counted(len(lines), "line"), lines)


def folded(title: str, lines: list[str]) -> None:
    """Log lines that Airflow's page shows as one until it is clicked."""
    log.info("::group::%s", title)
    for line in lines:
        # Airflow's page looks for its marks anywhere in a line; a script that prints one would hide what others print.
        log.info("%s", _MARK.sub(r": :\1: :", line))
    log.info("::endgroup::")
