"""What became of requests while a service was changed and its processes killed: pure, from what callers noted.

A request is *lost* when it ended without the answer that it should have. The one exception is *cut*: it was under way on a connection
that a router had when it was killed, which nobody can answer any more, or crossed the closing of one that was idle.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.callers import CUT, OK

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

CALM = "nothing"


@dataclass(frozen=True)
class Noted:
    """One request."""

    began: float
    ended: float
    opened: float
    kind: str
    label: str
    outcome: str


@dataclass(frozen=True)
class Event:
    """Something that was done to the service, from its beginning until all was as before.

    :param ends: When a router's connections ended, from the signal to its end.
    :param of: Whose ended, if not all: those that were idle, and may bring a request in the moment in which they are closed.
    :param becomes: The label of the revision that serves from then on, if it is another.
    """

    what: str
    began: float
    ended: float
    ends: tuple[float, float] | None = None
    becomes: str | None = None
    of: str | None = None


@dataclass(frozen=True)
class Row:
    """All requests that ended while the same was done."""

    what: str
    times: int
    answered: int
    cut: int
    lost: int
    p50_ms: float
    p99_ms: float
    most_ms: float


def read_notes(path: Path) -> list[Noted]:
    """What the callers noted."""
    words = (line.split() for line in path.read_text().splitlines())
    return [Noted(float(began), float(ended), float(opened), *rest) for began, ended, opened, *rest in words]


def is_cut(noted: Noted, events: Iterable[Event]) -> bool:
    """Whether a router's end took its answer along."""
    ends = (event.ends for event in events if event.ends and event.of in (None, noted.kind))
    return noted.outcome == CUT and any(noted.opened <= end and noted.ended >= begin for begin, end in ends)


def lost_of(notes: Iterable[Noted], events: Sequence[Event]) -> list[Noted]:
    """Those that should have had another answer."""
    return [noted for noted in notes if noted.outcome != OK and not is_cut(noted, events)]


def stale_of(notes: Iterable[Noted], events: Iterable[Event]) -> list[Noted]:
    """Those that an old revision answered, though they began when a new one had answered already."""
    answered = sorted((noted for noted in notes if noted.outcome == OK), key=lambda noted: noted.ended)
    found = []
    for event in (event for event in events if event.becomes):
        first = next((noted.ended for noted in answered if noted.label == event.becomes and noted.ended >= event.began), None)
        if first is not None:
            late = (noted for noted in answered if first < noted.began and noted.ended <= event.ended)
            found += [noted for noted in late if noted.label != event.becomes]
    return found


def rows_of(notes: Sequence[Noted], events: Sequence[Event]) -> list[Row]:
    """A row for each thing that was done, in that order, and one for the time between."""
    during: dict[str, list[Noted]] = {CALM: []}
    times = Counter(event.what for event in events)
    for event in events:
        during.setdefault(event.what, [])
    for noted in notes:
        during[_what_was_done(noted, events)].append(noted)
    return [_row(what, times[what], found, events) for what, found in during.items() if found]


def _what_was_done(noted: Noted, events: Sequence[Event]) -> str:
    """When it ended, or else when it began."""
    for moment in (noted.ended, noted.began):
        for event in events:
            if event.began <= moment <= event.ended:
                return event.what
    return CALM


def _row(what: str, times: int, found: Sequence[Noted], events: Sequence[Event]) -> Row:
    laps = sorted(noted.ended - noted.began for noted in found if noted.outcome == OK) or [0.0]
    p50, p99, most = (1000 * laps[min(len(laps) - 1, len(laps) * share // 100)] for share in (50, 99, 100))
    answered = sum(noted.outcome == OK for noted in found)
    cut = sum(is_cut(noted, events) for noted in found)
    return Row(what, times, answered, cut, len(found) - answered - cut, p50, p99, most)
