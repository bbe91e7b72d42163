"""What a person sees while a job runs: a bar on a terminal, a line every few seconds elsewhere; all of it on stderr."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from airflow_batchinfer.engine import progress as engine_progress

LINE_SECONDS = 5.0


class Display(Protocol):
    """Where a job's progress and its workers' words go."""

    def say(self, text: str) -> None:
        """Tell something once."""

    def progress(self, progress: engine_progress.Progress) -> None:
        """Tell how far the job is."""

    def printed(self, worker: int, line: str) -> None:
        """Tell what a worker printed."""


@contextmanager
def open_display() -> Iterator[Display]:
    """The display that fits stderr, for the length of a job; the engine's warnings go there too."""
    with _terminal() if sys.stderr and sys.stderr.isatty() else _plain() as display:
        handler = _ToDisplay(display)
        logger = logging.getLogger("airflow_batchinfer")
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield display
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)


class _ToDisplay(logging.Handler):
    def __init__(self, display: Display) -> None:
        super().__init__(logging.INFO)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        self._display.say(self.format(record))


class _Lines:
    """For logs and pipes."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def say(self, text: str) -> None:
        if sys.stderr:
            print(text, file=sys.stderr, flush=True)

    def progress(self, progress: engine_progress.Progress) -> None:
        now = time.monotonic()
        if now - self._said_at >= LINE_SECONDS:
            self._said_at = now
            self.say(str(progress))

    def printed(self, worker: int, line: str) -> None:
        self.say(f"worker {worker} | {line}")


@contextmanager
def _plain() -> Iterator[Display]:
    yield _Lines()


@contextmanager
def _terminal() -> Iterator[Display]:
    from airflow_batchinfer.cli.progress_bar import progress_bar  # takes a fifth of what a command takes to start

    with progress_bar() as bar:
        yield bar
