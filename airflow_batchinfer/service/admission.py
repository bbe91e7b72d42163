"""Whether a request may wait, by what is known of the speed: who would wait in vain is told so at once.

No clock, no process. What cannot be begun within the longest wait is refused; so is what would make
the queue longer than a machine bears.
"""

import math

MOST_WAITING = 1_000
# A replica is given so much beforehand that it need not wait for the way there and back, and nobody long for it.
AHEAD_SECONDS = 0.002
MOST_AHEAD = 8
# How much one answer changes what is thought of the speed, once there were enough: a single slow one shall not have others refused.
_WEIGHT = 0.02
# How fast a slow answer is forgotten.
_FORGET = 0.98


class Admission:
    """What is thought of the speed, and the decision that follows."""

    def __init__(self, most_wait_seconds: float) -> None:
        self._most_wait_seconds = most_wait_seconds
        self._seconds: float | None = None
        self._noted = 0
        self._slowest = 0.0

    def note(self, seconds: float) -> None:
        """One request took so long at a replica."""
        self._noted += 1
        before = self._seconds or 0.0
        self._seconds = before + max(_WEIGHT, 1 / self._noted) * (seconds - before)
        self._slowest = max(seconds, self._slowest * _FORGET)

    @property
    def ahead(self) -> int:
        """How many more than it answers at once a replica may be given: none before it is known that all are fast."""
        if self._seconds is None:
            return 0
        return min(MOST_AHEAD, int(AHEAD_SECONDS / max(self._slowest, AHEAD_SECONDS / MOST_AHEAD)))

    def may_wait(self, waiting: int, at_once: int) -> bool:
        """Whether one more may join so many, where so many run at once."""
        if waiting >= MOST_WAITING:
            return False
        return not at_once or self._expected_seconds(waiting, at_once) <= self._most_wait_seconds

    def retry_after_seconds(self, waiting: int, at_once: int) -> int:
        """When a caller may hope to be let in."""
        return min(60, max(1, math.ceil(self._expected_seconds(waiting, max(1, at_once)))))

    def _expected_seconds(self, waiting: int, at_once: int) -> float:
        return (self._seconds or 0.0) * waiting / at_once
