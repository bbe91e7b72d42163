"""What scripts log by name, as values: the tally of a mini-batch, of its parts together, and of a whole job.

Pure. Tallies are joined in the order of the items, so they are the same whichever node made them; and they hold no more than so
many names, however many a script makes up.
"""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from airflow_batchinfer.worker.metrics import MOST_NAMES, joined

Value = int | float | str


class Tally(NamedTuple):
    """Of one name: how many values; of those that are numbers the sum, the least and the greatest; and the last of all."""

    values: int
    total: float | None
    least: float | None
    greatest: float | None
    last: Value

    def then(self, later: "Tally") -> "Tally":
        """Both, one after the other."""
        return Tally(*joined([*self], [*later]))

    def told(self) -> dict[str, Value]:
        """As the summary has it."""
        found: dict[str, Value] = {"count": self.values, "last": self.last}
        if self.total is not None and self.least is not None and self.greatest is not None:
            found |= {"sum": self.total if math.isfinite(self.total) else str(self.total), "min": self.least, "max": self.greatest}
        return found


Tallies = Mapping[str, Tally]


def read_tallies(stored: Any) -> dict[str, Tally]:  # noqa: ANN401 - JSON
    """What a worker says, or what is stored; ValueError if it is something else."""
    try:
        return {str(name): _tally(tally) for name, tally in (stored or {}).items()}
    except AttributeError as error:
        raise ValueError(f"{stored!r} holds no tallies") from error


def add(found: dict[str, Tally], later: Tallies) -> None:
    """Enter what was logged after what was found so far."""
    for name, tally in later.items():
        if name in found:
            found[name] = found[name].then(tally)
        elif len(found) < MOST_NAMES:
            found[name] = tally


def as_stored(parts: Iterable[Tallies]) -> bytes:
    """What the parts of a mini-batch logged, as a segment holds it; nothing for nothing."""
    found: dict[str, Tally] = {}
    for tallies in parts:
        add(found, tallies)
    return json.dumps(found).encode() if found else b""


def add_stored(found: dict[str, Tally], text: bytes) -> None:
    """Enter what a segment holds of a mini-batch."""
    add(found, read_tallies(json.loads(text) if text else None))


def _tally(stored: Any) -> Tally:  # noqa: ANN401 - JSON
    tally = Tally(*stored)
    numbers = (tally.total, tally.least, tally.greatest)
    if type(tally.values) is not int or tally.values < 1 or not isinstance(tally.last, int | float | str):
        raise ValueError(f"{stored!r} is no tally")
    if numbers != (None, None, None) and not all(isinstance(number, int | float) for number in numbers):
        raise ValueError(f"{stored!r} is no tally")
    return tally
