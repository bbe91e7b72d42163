"""How many replicas there should be, by how busy they are. No clock, no process: whoever asks says what time it is.

Up at once, down only when fewer would have done for a whole minute: a pause between two bursts takes no replica away.
"""

import math
from collections import deque

from airflow_batchinfer.service.config import ALL_PERCENT, Scale

DOWN_SECONDS = 60.0


class Autoscaler:
    """Remembers what would have done of late."""

    def __init__(self, scale: Scale, requests_of_a_replica: int, down_seconds: float = DOWN_SECONDS) -> None:
        self._scale = scale
        self._down_seconds = down_seconds
        self._requests_of_a_replica = requests_of_a_replica
        self._wanted: deque[tuple[float, int]] = deque()

    def decide(self, now: float, requests: int) -> int:
        """How many replicas there should be while so many requests run or wait."""
        busy_when_full = self._requests_of_a_replica * self._scale.target_percent / ALL_PERCENT
        wanted = min(self._scale.most, max(self._scale.least, math.ceil(requests / busy_when_full)))
        while self._wanted and (self._wanted[0][0] <= now - self._down_seconds):
            self._wanted.popleft()
        self.remember(now, wanted)
        return self._wanted[0][1]

    def remember(self, now: float, wanted: int) -> None:
        """So many would do now."""
        while self._wanted and self._wanted[-1][1] <= wanted:
            self._wanted.pop()
        self._wanted.append((now, wanted))
