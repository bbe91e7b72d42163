"""How much memory the processes below a keeper hold: anonymous and shared pages, not files of which the kernel keeps copies.

Pages that several of them share are counted once, but only where that can matter: to tell takes the kernel a while. Linux only.
"""

import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_HELD = (b"RssAnon:", b"RssShmem:")
_ITS_SHARE = (b"Pss_Anon:", b"Pss_Shmem:")


def can_tell() -> bool:
    """Whether this system tells what processes hold, and which are below another."""
    return (PROC / f"self/task/{os.getpid()}/children").exists()


def held_bytes(keeper: int, most_bytes: int, proc: Path = PROC) -> int:
    """What they hold; where that is no more than `most_bytes`, it may be even less."""
    pids = _below(keeper, proc)
    held = sum(_held(pid, proc) for pid in pids)
    if held <= most_bytes or len(pids) == 1:
        return held
    return sum(_its_share(pid, proc) for pid in pids)


def _below(keeper: int, proc: Path) -> list[int]:
    found = _children(keeper, proc)
    for pid in found:
        found += _children(pid, proc)
    return found


def _children(pid: int, proc: Path) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # it is gone
        for thread in os.listdir(proc / f"{pid}/task"):
            with suppress(OSError):  # as above
                found += map(int, (proc / f"{pid}/task/{thread}/children").read_bytes().split())
    return found


def _held(pid: int, proc: Path) -> int:
    """Nothing, if it is gone."""
    return _sum_of(proc / f"{pid}/status", _HELD) or 0


def _its_share(pid: int, proc: Path) -> int:
    """All that it holds, where the kernel tells no share, or not to us."""
    share = _sum_of(proc / f"{pid}/smaps_rollup", _ITS_SHARE)
    return _held(pid, proc) if share is None else share


def _sum_of(path: Path, names: tuple[bytes, ...]) -> int | None:
    """Of the lines with these names, in kB each; None if there are none."""
    with suppress(OSError):
        found = [int(line.split()[1]) << 10 for line in path.read_bytes().splitlines() if line.startswith(names)]
        return sum(found) if found else None
    return None
