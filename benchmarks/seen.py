"""What a run of `faults` saw, and the section of the page that tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.callers import WRONG
from benchmarks.overload import MOST_RUNS, RUN_SECONDS, TIMES, WAIT_MS, Overload
from benchmarks.report import Finding, Reach, Table
from benchmarks.tally import Event, Noted, lost_of, rows_of, stale_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# So much of its life a router is not warm, and by so much it may grow after that.
WARM_UP, MOST_GROWTH = 0.25, 1.25
MB = 1 << 20


@dataclass
class Seen:
    """See above. `memory` are samples of the router's: when, which process, how many bytes."""

    seed: str
    seconds: float = 0.0
    notes: list[Noted] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    hostile: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, int, int]] = field(default_factory=list)
    overload: Overload | None = None

    @property
    def lost(self) -> list[Noted]:
        """Requests that should have had another answer."""
        return lost_of(self.notes, self.events)

    @property
    def stale(self) -> list[Noted]:
        """Requests that an old revision answered too late."""
        return stale_of(self.notes, self.events)

    @property
    def memory_when_warm_and_at_last(self) -> tuple[int, int]:
        """Of the last router, the least that it held in a fifth of its time: a body of 100 MB that is just read is not counted."""
        last = self.memory[-1][1]
        of_the_last = [held for _, pid, held in self.memory if pid == last]
        warm = of_the_last[int(len(of_the_last) * WARM_UP) :]
        fifth = max(1, len(warm) // 5)
        return min(warm[:fifth]), min(warm[-fifth:])


def finding_of(seen: Seen) -> Finding:
    """The section."""
    hostile = ", ".join(f"{what} ({count:,})" for what, count in sorted(seen.hostile.items()))
    return Finding(
        title="Faults: a service under load, while all befalls it that may",
        compared="A service of two replicas, deployed to this machine as a DAG deploys it. Well-behaved callers ask all the time: on kept "
        "connections, some of them busy and 500 that ask now and then, and on new ones, GET and POST, little and much (1 MB each way), "
        "in chunks, pipelined; each looks whether the answer is its own. Meanwhile its processes are killed, it is updated and scaled, its "
        "keys are replaced, and hostile clients do their worst.",
        method=f"{seen.seconds:,.0f} s with {len(seen.notes) / seen.seconds:,.0f} requests/s of the well-behaved, who share two cores "
        "with the service and the hostile. *Lost* is whoever did not get its answer at the first try, within 60 s. *Cut* is what a router "
        "had when it was killed, which is lost with its connections, or what crossed the closing of an idle connection by one that was "
        "told to leave. The longest waits are what it takes to start a router and `init()`, and for one that leaves the 5 s that it gives "
        f"to who is still sending. Hostile clients, and how often: {hostile}. The garbage is drawn by the seed {seen.seed}.",
        table=Table(
            ("what is done", "times", "answered", "lost", "cut", "p50, ms", "p99, ms", "longest, ms"),
            tuple(_row_of_the_page(seen)),
        ),
        reaches=(*_reaches_of_requests(seen), *_reaches_of_overload(seen.overload), _reach_of_memory(seen)),
    )


def _row_of_the_page(seen: Seen) -> Iterator[tuple[str, ...]]:
    for row in rows_of(seen.notes, seen.events):
        counts = (str(row.times or "-"), f"{row.answered:,}", f"{row.lost:,}", f"{row.cut:,}")
        yield row.what, *counts, f"{row.p50_ms:,.1f}", f"{row.p99_ms:,.0f}", f"{row.most_ms:,.0f}"


def _reaches_of_requests(seen: Seen) -> Iterator[Reach]:
    def none(what: str, found: int, among: str) -> Reach:
        return Reach(what, "none", f"{found:,} of {among}", found == 0)

    requests = f"{len(seen.notes):,}"
    yield none("lost requests", len(seen.lost), requests)
    yield none("answers that are another's, or not whole", sum(noted.outcome == WRONG for noted in seen.notes), requests)
    yield none("answers of an old revision after the first of the new one", len(seen.stale), requests)
    yield none("hostile clients that got or kept what they should not", len(seen.wrong), f"{sum(seen.hostile.values()):,}")


def _reaches_of_overload(overload: Overload | None) -> Iterator[Reach]:
    if overload is None:
        return
    wait, most = WAIT_MS / 1000, WAIT_MS / 1000 + MOST_RUNS * RUN_SECONDS
    wanted = f"<= {wait:g} s + {MOST_RUNS} x run()"
    accepted, refused, half = overload.seconds(200, 99), overload.seconds(503, 99), overload.seconds(503, 50)
    what = f"{TIMES} x as many requests as can be answered ({overload.offered_per_second:,.0f}/s): p99 of those let in"
    yield Reach(what, wanted, f"{accepted:.3f} s of {overload.count(200):,}", accepted <= most)
    told = f"{overload.count(503):,}; half of them within {1000 * half:.1f} ms, 99 % within {refused:.3f} s"
    yield Reach("503 with `Retry-After` for the others", wanted, told, refused <= most and not overload.wrong)


def _reach_of_memory(seen: Seen) -> Reach:
    warm, last = seen.memory_when_warm_and_at_last
    told = f"{last / warm:.2f} x ({warm / MB:.0f} MB, {last / MB:.0f} MB)"
    return Reach("memory of the last router, in the end against when it was warm", f"<= {MOST_GROWTH} x", told, last <= MOST_GROWTH * warm)
