"""What scripts print: read at once and always, so that it can never block them; kept by worker, and bounded.

A thread of its own empties the workers' output pipes into local files, of which only the beginning of what was said last
is kept, and shows the lines as they come, as long as they do not come too fast.
"""

import logging
import os
import selectors
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self

from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.storage import LocalStore, Store, copy_file

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
FILE_BYTES = 4 << 20
SHOWN_BYTES_PER_SECOND = 64 << 10
UPLOAD_SECONDS = 30.0
Show = Callable[[int, str], None]


class PrintedLog:
    """The log of one worker's place: at most two files, the newer of which takes the older one's name when it is full."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.path = folder / f"worker-{number}.log"
        self._file: BinaryIO = self.path.open("ab")
        self._budget = Budget()
        self._line = b""
        self.changed = False

    def write(self, text: bytes, show: Show | None) -> None:
        """Keep what was printed, and show it."""
        self.changed = True
        for start in range(0, len(text), FILE_BYTES):
            if self._file.tell() > FILE_BYTES:
                self._file.close()
                self.path.replace(self.path.with_suffix(".log.1"))
                self._file = self.path.open("ab")
            self._file.write(text[start : start + FILE_BYTES])
        self._file.flush()
        if show:
            self._show(text, show)

    def tail(self, lines: int = 20) -> str:
        """The last lines, where the older file is not needed for them."""
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])

    def close(self) -> None:
        """No more will come."""
        self._file.close()

    def _show(self, text: bytes, show: Show) -> None:
        had_some = self._budget.left
        allowed = self._budget.take(len(text))
        if allowed < len(text) and had_some:
            show(self.number, f"... prints faster than can be shown; what is kept of it is in the job's folder: {self.path.name}")
        if not allowed:
            return
        *lines, self._line = (self._line + text[:allowed]).split(b"\n")
        if len(self._line) > SHOWN_BYTES_PER_SECOND:
            lines, self._line = [*lines, self._line], b""
        for line in lines:
            show(self.number, line.decode("utf-8", "backslashreplace")[:2000])


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


class Printing:
    """The thread that reads what all workers print, and uploads it to the job's folder from time to time."""

    def __init__(self, folder: Path, store: Store, job_logs: str, show: Show | None) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._store = store
        self._job_logs = job_logs
        self._show = show
        self._logs: dict[int, PrintedLog] = {}
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_end, self._wake = os.pipe()
        self._selector.register(self._wake_end, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="batchinfer-printing", daemon=True)
        self._stopping = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        os.write(self._wake, b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        os.close(self._wake)
        for each in self._logs.values():
            each.close()
        self._upload()

    def open_pipe(self, number: int) -> int:
        """The writing end for a worker at this place; the caller closes it once the worker has it."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        with self._lock:
            if number not in self._logs:
                self._logs[number] = PrintedLog(number, self._folder)
            self._selector.register(reading, selectors.EVENT_READ, self._logs[number])
        os.write(self._wake, b"x")
        return writing

    def tail(self, number: int) -> str:
        """The last that a worker printed."""
        return self._logs[number].tail()

    def _run(self) -> None:
        next_upload = time.monotonic() + UPLOAD_SECONDS
        while not self._stopping:
            for key, _ in self._selector.select(UPLOAD_SECONDS):
                self._read(key)
            if time.monotonic() >= next_upload:
                self._upload()
                next_upload = time.monotonic() + UPLOAD_SECONDS
        while found := self._selector.select(0):
            for key, _ in found:
                self._read(key)

    def _read(self, key: selectors.SelectorKey) -> None:
        if key.data is None:
            os.read(key.fd, READ_BYTES)
            return
        try:
            text = os.read(key.fd, READ_BYTES)
        except BlockingIOError:
            return
        if text:
            key.data.write(text, self._show)
        else:
            with self._lock:
                self._selector.unregister(key.fd)
            os.close(key.fd)

    def _upload(self) -> None:
        """Show the job's folder what there is; failing at that must not stop anything."""
        source = LocalStore(self._folder)
        changed = [each for each in list(self._logs.values()) if each.changed]
        for each in changed:
            each.changed = False
            for path in (each.path, each.path.with_suffix(".log.1")):
                if path.exists():
                    try:
                        copy_file(source, path.name, self._store, f"{self._job_logs}/{path.name}")
                    except (StorageError, OSError):
                        log.warning("the log %s could not be stored in the job's folder", path.name, exc_info=True)
