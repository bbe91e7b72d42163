"""What scripts print: read at once and always, so that it can never block them; kept by worker, and bounded.

One thread does nothing but empty the workers' output pipes into local files, of which only what was said last is kept. A
second shows the lines, as long as they do not come too fast; a third copies the files to the job's folder now and then. A
terminal that stands still and storage that is slow hold up only those two.
"""

import logging
import os
import selectors
import threading
from pathlib import Path
from typing import BinaryIO, Self

from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.processes import FAREWELL_SECONDS, MOST_CHARACTERS, SHOWN_BYTES_PER_SECOND, Budget, Show, Showing
from airflow_batchinfer.storage import LocalStore, Store, copy_file

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
FILE_BYTES = 4 << 20
UPLOAD_SECONDS = 30.0
LAST_UPLOAD_SECONDS = 60.0


class PrintedLog:
    """The log of one worker's place: at most two files, the newer of which takes the older one's name when it is full."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.path = folder / f"worker-{number}.log"
        self._file: BinaryIO = self.path.open("ab")
        self._budget = Budget()
        self._line = b""

    def write(self, text: bytes, show: Show | None) -> None:
        """Keep what was printed, and show it."""
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

    def close(self, show: Show | None) -> None:
        """No more will come."""
        if self._line and show:
            show(self.number, self._line.decode("utf-8", "backslashreplace")[:MOST_CHARACTERS])
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
            show(self.number, line.decode("utf-8", "backslashreplace")[:MOST_CHARACTERS])


class Uploads:
    """Copies the logs to the job's folder from time to time, and at the end; failing at that stops nothing."""

    def __init__(self, folder: Path, store: Store, job_logs: str) -> None:
        self._source = LocalStore(folder)
        self._folder = folder
        self._store = store
        self._job_logs = job_logs
        self._copied: dict[str, tuple[int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="batchinfer-uploads", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Copy what is new, if that does not take too long."""
        self._stop.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.wait(UPLOAD_SECONDS):
            self._copy()
        self._copy()

    def _copy(self) -> None:
        for name in self._names():
            try:
                status = (self._folder / name).stat()
                version = (status.st_size, status.st_mtime_ns)
                if self._copied.get(name) != version:
                    copy_file(self._source, name, self._store, f"{self._job_logs}/{name}")
                    self._copied[name] = version
            except (StorageError, OSError) as error:
                log.warning("the log %s could not be stored in the job's folder: %s", name, error)

    def _names(self) -> list[str]:
        """All files, those of scripts too, which may come and go."""
        try:
            return list(self._source.find(""))
        except (StorageError, OSError) as error:
            log.warning("the logs in %s cannot be listed: %s", self._folder, error)
            return []


class Printing:
    """What all workers of a node print; see above."""

    def __init__(self, folder: Path, store: Store, job_logs: str, show: Show | None) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._showing = Showing(show) if show else None
        self._uploads = Uploads(folder, store, job_logs)
        self._logs: dict[int, PrintedLog] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_end, self._wake = os.pipe()
        self._selector.register(self._wake_end, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="batchinfer-printing", daemon=True)
        self._stopping = False
        self._failing: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopping = True
        os.write(self._wake, b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        os.close(self._wake)
        for each in self._logs.values():
            each.close(self._showing)
        if self._showing:
            self._showing.close(FAREWELL_SECONDS)
        self._uploads.close(LAST_UPLOAD_SECONDS if kind is None or issubclass(kind, Exception) else FAREWELL_SECONDS)

    def open_pipe(self, number: int) -> int:
        """The writing end for a worker at this place; the caller closes it once the worker has it."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        if number not in self._logs:
            self._logs[number] = PrintedLog(number, self._folder)
        self._selector.register(reading, selectors.EVENT_READ, self._logs[number])
        os.write(self._wake, b"x")
        return writing

    def tail(self, number: int) -> str:
        """The last that a worker printed."""
        return self._logs[number].tail()

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select():
                self._read(key)
        while found := self._selector.select(0):
            for key, _ in found:
                self._read(key)

    def _read(self, key: selectors.SelectorKey) -> None:
        try:
            text = os.read(key.fd, READ_BYTES)
        except BlockingIOError:
            return
        if key.data is None:
            return  # somebody woke us
        if not text:
            self._selector.unregister(key.fd)
            os.close(key.fd)
            return
        try:
            key.data.write(text, self._showing)
        except OSError as error:  # the disk is full, say: what cannot be kept is dropped, and the script goes on
            if key.data.number not in self._failing:
                log.warning("what worker %d prints cannot be kept: %s", key.data.number, error)
                self._failing.add(key.data.number)
