"""What this machine lets a service use: cores, memory and GPUs, as far as the control groups it runs in allow. Looks, decides nothing."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_batchinfer.processes.memory import can_tell


@dataclass(frozen=True)
class Machine:
    """`cores` is how much of them may be used, `own_cores` which a process can be held to; none where the system cannot do that.

    A GPU that is named twice is one, which two may share.
    """

    cores: float
    own_cores: tuple[int, ...]
    memory_bytes: int
    gpus: tuple[str, ...]
    tells_memory: bool


def this_machine(gpus: Sequence[str], root: Path = Path("/")) -> Machine:
    """The one that this process runs on; whoever asks knows its GPUs."""
    own_cores = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    groups = list(_control_groups(root))
    quotas = [quota for folder in groups if (quota := _quota(folder))]
    memory = [limit for folder in groups for name in ("memory.max", "memory.limit_in_bytes") if (limit := _number(folder / name))]
    return Machine(
        cores=min([float(len(own_cores) or os.cpu_count() or 1), *quotas]),
        own_cores=own_cores,
        memory_bytes=min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *memory]),
        gpus=tuple(gpus),
        tells_memory=can_tell(),
    )


def _control_groups(root: Path) -> Iterator[Path]:
    """The folders that may limit this process: of both versions, its own group and all above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name in dict.fromkeys((controllers, *controllers.split(","))):  # of several any may name the folder
            above = root / "sys/fs/cgroup" / name
            own = above / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(above) and folder.is_dir())


def _quota(folder: Path) -> float | None:
    """So many cores' time."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    quota_us, period_us = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and period_us else None


def _number(path: Path) -> int | None:
    """None where there is no such file, or no limit in it."""
    with suppress(OSError, ValueError):
        return max(0, int(path.read_text())) or None
    return None
