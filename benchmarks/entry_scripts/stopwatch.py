"""Notes when each call of `run()` began and ended, in the process that ran it.

Both sides of a comparison run the same entry script, so both are timed by this same code, on the
machine-wide monotonic clock. It must cost next to nothing: one 24-byte write per call, no buffering,
so that a worker which is killed leaves whole records.
"""

import os
import struct
import time

LAP = struct.Struct("<qqq")

_sink: int | None = None


def start() -> int:
    """The moment a call of `run()` begins."""
    return time.monotonic_ns()


def stop(started_ns: int, items: int) -> None:
    """Record a call of `run()` that began at `started_ns` and ends now."""
    os.write(_open_sink(), LAP.pack(started_ns, time.monotonic_ns(), items))


def _open_sink() -> int:
    global _sink  # an entry script's functions have no object to keep it in
    if _sink is None:
        path = os.path.join(os.environ["BENCHMARK_LAPS"], f"{os.getpid()}.laps")
        _sink = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    return _sink
