"""What the node sends, sorted: frames for the worker's loop, and answers for whoever asked.

The script may ask from any of its threads, also while the loop waits for the next mini-batch. One thread at a time reads the
pipe, and files what it reads for the others.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, BinaryIO, Callable, Deque, Dict, Optional

from .framing import Frame, Header, read_frame


class Inbox:
    """Over the pipe from the node; `send` is the way back."""

    def __init__(self, stream: BinaryIO, send: Callable[[Header], None]) -> None:
        self._stream = stream
        self._send = send
        self._changed = threading.Condition()
        self._is_being_read = False
        self._has_ended = False
        self._frames: Deque[Frame] = deque()
        self._answers: Dict[int, Any] = {}
        self._asked = 0

    def next(self) -> Optional[Frame]:
        """The next frame for the loop; None when no more will come."""
        self._wait(lambda: bool(self._frames))
        return self._frames.popleft() if self._frames else None

    def ask(self, question: Any) -> Any:
        """What the node answers."""
        with self._changed:
            self._asked += 1
            number = self._asked
        self._send({"ask": number, "question": question})
        self._wait(lambda: number in self._answers)
        if number not in self._answers:
            raise EOFError("the node ended before it answered")
        return self._answers.pop(number)

    def _wait(self, is_there: Callable[[], bool]) -> None:
        """Until that is so, or the pipe ends; reading it unless another thread does."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: is_there() or self._has_ended or not self._is_being_read)
                if is_there() or self._has_ended:
                    return
                self._is_being_read = True
            frame = None
            try:
                frame = read_frame(self._stream)
            finally:
                with self._changed:
                    self._is_being_read = False
                    self._file(frame)
                    self._changed.notify_all()

    def _file(self, frame: Optional[Frame]) -> None:
        if frame is None:
            self._has_ended = True
        elif "answered" in frame[0]:
            self._answers[frame[0]["answered"]] = frame[0]["answer"]
        else:
            self._frames.append(frame)
