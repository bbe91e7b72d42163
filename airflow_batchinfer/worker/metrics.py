"""What a script logs by name while it works on a mini-batch: shown at once, and summed up for the reply.

What is logged in `init()`, at import or in `shutdown()` belongs to no mini-batch: it is only shown. How often those are called
says nothing about the job.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from typing import Any, Dict, List, Optional, Sequence, Union

MOST_NAMES = 1000
MOST_CHARACTERS = 200
Value = Union[int, float, str]
# How many values; of those that are numbers the sum, the least and the greatest; and the last value of all.
Tally = List[Any]


class Metrics:
    """Of one call of `run()`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: Optional[Dict[str, Tally]] = None

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            self._tallies = {}

    def end(self) -> Dict[str, Tally]:
        """A call has ended; what it logged."""
        with self._lock:
            found, self._tallies = self._tallies, None
        return found or {}

    def note(self, name: str, values: Sequence[Any]) -> None:
        """Enter values under a name."""
        name = _text(name)
        plain = [_plain(value) for value in values]
        with contextlib.suppress(Exception):  # the script closed its output; that is its own affair
            sys.stdout.write(" ".join([f"metric {name}:", *map(str, plain)]) + "\n")  # at once: other threads write too
            sys.stdout.flush()
        with self._lock:
            if self._tallies is None or not plain:
                return
            if name in self._tallies or len(self._tallies) < MOST_NAMES:
                self._tallies[name] = joined(self._tallies.get(name), _tally(plain))


def joined(first: Optional[Tally], then: Tally) -> Tally:
    """Two tallies of one name, one after the other."""
    if first is None:
        return then
    count, total, least, greatest, _ = first
    more, further, lower, higher, last = then
    if least is None:
        return [count + more, further, lower, higher, last]
    if lower is None:
        return [count + more, total, least, greatest, last]
    return [count + more, total + further, min(least, lower), max(greatest, higher), last]


def _tally(values: List[Value]) -> Tally:
    numbers = [value for value in values if not isinstance(value, str)]
    if not numbers:
        return [len(values), None, None, None, values[-1]]
    return [len(values), sum(numbers), min(numbers), max(numbers), values[-1]]


def _plain(value: Any) -> Value:
    """A number as it is, of numpy and its like too; anything else, and what JSON has no number for, as text."""
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, (int, float, str)) and hasattr(value, "item"):
        try:
            value = value.item()
        except Exception:
            return _text(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, int) and abs(value) < 1 << 63:
        return int(value)
    return _text(value)


def _text(value: Any) -> str:
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "..."


metrics = Metrics()
note = metrics.note
