"""When a replica that ended is started again: at once, unless those before it at its place came to nothing as well.

No clock, no process.
"""

FIRST_PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 30.0
WELL_AFTER_SECONDS = 10.0


class Restarts:
    """The replicas of one place, one after the other."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def pause_seconds(self, answered: int, ready_seconds: float) -> float:
        """How long to wait after one that answered so many requests and was ready so long."""
        if answered or ready_seconds >= WELL_AFTER_SECONDS:
            self.in_a_row = 0
        self.in_a_row += 1
        if self.in_a_row == 1:
            return 0.0
        return min(MOST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self.in_a_row - 2, 16))
