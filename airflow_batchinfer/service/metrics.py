"""What a service counts, in the text that Prometheus reads. Counts only; who asks and how often is nobody's affair here."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Requests by how they ended, and how long `run()` took."""

    def __init__(self) -> None:
        self._statuses: Counter[int] = Counter()
        self._buckets = [0] * (len(BOUNDS_SECONDS) + 1)
        self._seconds = 0.0

    def answered(self, status: int) -> None:
        """One request is over."""
        self._statuses[status] += 1

    def ran(self, seconds: float) -> None:
        """One call of `run()` took so long."""
        self._buckets[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self._seconds += seconds

    def text(self, gauges: Mapping[str, tuple[str, float]], counters: Mapping[str, tuple[str, float]]) -> bytes:
        """All of it, with what others know: a description and a number for each name."""
        return ("\n".join(self._lines(gauges, counters)) + "\n").encode()

    def _lines(self, gauges: Mapping[str, tuple[str, float]], counters: Mapping[str, tuple[str, float]]) -> Iterator[str]:
        yield from _head("batchinfer_requests_total", "counter", "Requests to /score, by status.")
        for status, count in sorted(self._statuses.items()):
            yield f'batchinfer_requests_total{{status="{status}"}} {count}'
        yield from _head("batchinfer_run_seconds", "histogram", "How long run() took.")
        below = 0
        for bound, count in zip((*map(str, BOUNDS_SECONDS), "+Inf"), self._buckets, strict=True):
            below += count
            yield f'batchinfer_run_seconds_bucket{{le="{bound}"}} {below}'
        yield f"batchinfer_run_seconds_sum {self._seconds:.6f}"
        yield f"batchinfer_run_seconds_count {below}"
        for kind, values in (("gauge", gauges), ("counter", counters)):
            for name, (described, value) in values.items():
                yield from _head(name, kind, described)
                yield f"{name} {value:g}"


def _head(name: str, kind: str, described: str) -> tuple[str, str]:
    return f"# HELP {name} {described}", f"# TYPE {name} {kind}"
