"""How much memory the processes below a keeper hold: anonymous and shared pages, not files of which the kernel keeps copies.

Pages that several of them share are counted once, but only where that can matter: to tell takes the kernel a while. Linux only.
"""

import os
from contextlib import suppress
from pathlib import Path

_HELD = (b"RssAnon:", b"RssShmem:")
_HELD_IN_SHARES = (b"Pss_Anon:", b"Pss_Shmem:")


def can_tell() -> bool:
    """Whether this system tells what processes hold, and which are below another."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def held_bytes(keeper: int, most_bytes: int) -> int:
    """What they hold; where that is no more than `most_bytes`, it may be even less."""
    pids = _below(keeper)
    held = sum(_sum_of(f"/proc/{pid}/status", _HELD) or 0 for pid in pids)
    if held <= most_bytes or len(pids) == 1:
        return held
    shares = [_sum_of(f"/proc/{pid}/smaps_rollup", _HELD_IN_SHARES) for pid in pids]
    return held if None in shares else sum(share or 0 for share in shares)


def _below(pid: int) -> list[int]:
    found = _children(pid)
    for one in found:
        found += _children(one)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # it is gone
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):  # as above
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    return found


def _sum_of(path: str, names: tuple[bytes, ...]) -> int | None:
    """Of the lines with these names, in kB each; None if it cannot be read: it is gone, or became another user's."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(names))
