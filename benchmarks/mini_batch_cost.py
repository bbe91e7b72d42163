"""P7: what the engine spends on a mini-batch, from a thousand of them to a million."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import million
from benchmarks.pairs import Spread, spread
from benchmarks.report import Finding, Reach, Table
from benchmarks.sides import Scored, Scoring, by_engine

if TYPE_CHECKING:
    from benchmarks.effort import Effort

RUNS = {1_000: 7, 10_000: 3, 100_000: 1, 1_000_000: 1}
MOST_GROWTH = 1.25  # "the same", on a machine whose speed varies by a fifth


@dataclass(frozen=True)
class Cost:
    """The runs with one number of mini-batches."""

    mini_batches: int
    runs: list[Scored]

    def total_us(self, startup_seconds: float) -> Spread:
        """All the command's time but its start-up, per mini-batch: planning, scoring, merging."""
        return spread([(run.seconds - startup_seconds) / self.mini_batches * 1e6 for run in self.runs])

    def running_us(self) -> Spread:
        """From the first call of `run()` to the last, per mini-batch."""
        return spread([_span_ns(run) / self.mini_batches / 1e3 for run in self.runs])


def measure(effort: Effort) -> Finding:
    """Run ever more mini-batches of one empty file with a script that does nothing."""
    sizes = [mini_batches for mini_batches in RUNS if mini_batches <= effort.most_mini_batches]
    by_engine(_startup())  # uncounted: it warms the disk's cache
    startup = spread([by_engine(_startup()).seconds for _ in range(RUNS[1_000])])
    costs = [_cost(mini_batches) for mini_batches in sizes]
    return Finding(
        title="P7: the cost of a mini-batch",
        compared="`batchinfer run --processes 2` with itself, over ever more mini-batches of one empty file, with a script that "
        "does nothing.",
        method=f"*In all* is the command's time less its start-up ({startup.text()} s: the same command with two mini-batches), so it "
        "holds listing, planning, scoring and merging; *running* is from the first call of `run()` to the last. Memory is the operating "
        "system's peak of the largest process. Sizes up to 10,000 are run several times.",
        table=Table(
            ("mini-batches", "command, s", "in all, us each", "running, us each", "peak memory, MB"),
            tuple(_row(cost, startup.median) for cost in costs),
        ),
        reaches=_reaches(costs[0], costs[-1], startup.median),
    )


def _startup() -> Scoring:
    return Scoring("no_op.py", million.tree(1_000), 500)


def _cost(mini_batches: int) -> Cost:
    scoring = Scoring("no_op.py", million.tree(mini_batches), 1)
    return Cost(mini_batches, [by_engine(scoring) for _ in range(RUNS[mini_batches])])


def _span_ns(run: Scored) -> int:
    laps = [lap for worker in run.workers for lap in (worker[0], worker[-1])]
    return max(lap.ended_ns for lap in laps) - min(lap.started_ns for lap in laps)


def _row(cost: Cost, startup_seconds: float) -> tuple[str, ...]:
    seconds = spread([run.seconds for run in cost.runs])
    total, running = cost.total_us(startup_seconds), cost.running_us()
    return f"{cost.mini_batches:,}", seconds.text(), total.text(0), running.text(0), f"{_peak_bytes(cost) / 1e6:.0f}"


def _reaches(fewest: Cost, most: Cost, startup_seconds: float) -> tuple[Reach, ...]:
    total = most.total_us(startup_seconds).median / fewest.total_us(startup_seconds).median
    running = most.running_us().median / fewest.running_us().median
    memory = _peak_bytes(most) / _peak_bytes(fewest)
    span = f"{most.mini_batches:,} against {fewest.mini_batches:,}"
    wanted = f"the same (<= {MOST_GROWTH} x)"
    return (
        Reach(f"in all, {span}", wanted, f"{total:.2f} x", total <= MOST_GROWTH),
        Reach(f"running, {span}", wanted, f"{running:.2f} x", running <= MOST_GROWTH),
        Reach(f"memory (P6), {span}", wanted, f"{memory:.2f} x", memory <= MOST_GROWTH),
    )


def _peak_bytes(cost: Cost) -> int:
    return max(run.peak_bytes for run in cost.runs)
