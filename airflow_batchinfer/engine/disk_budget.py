"""How much of a machine's disk a node may fill with what it fetches. Pure bookkeeping, but for the one look at the disk."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning.sizes import bytes_of, told_bytes

ENVIRONMENT_VARIABLE = "BATCHINFER_DISK_BUDGET"
MOST_FILES = 10_000
_REMEDY = f"make mini_batch_size smaller, or set {ENVIRONMENT_VARIABLE} on the machines that run the nodes, such as 200GB"


@dataclass
class DiskBudget:
    """So many bytes and files at once, and what is taken of them. What is alone may be more files, but never more bytes."""

    most_bytes: int
    most_files: int = MOST_FILES
    taken_bytes: int = 0
    taken_files: int = 0

    def admits(self, size_bytes: int, files: int) -> bool:
        """Whether so much more may be taken now."""
        if not self.taken_files:
            return size_bytes <= self.most_bytes
        return self.taken_bytes + size_bytes <= self.most_bytes and self.taken_files + files <= self.most_files

    def take(self, size_bytes: int, files: int) -> None:
        """It lies on the disk from now on, or gives it back where both are negative."""
        self.taken_bytes += size_bytes
        self.taken_files += files

    def fault(self, size_bytes: int, files: int) -> str | None:
        """Why so much can never be taken, if it cannot."""
        if size_bytes <= self.most_bytes:
            return None
        what = "it has" if files == 1 else f"the {files:,} files of its mini-batch have"
        return f"{what} {told_bytes(size_bytes)}, and a node may hold {told_bytes(self.most_bytes)} on its disk at once: {_REMEDY}"


def disk_budget(folder: Path, environment: Mapping[str, str] = os.environ) -> DiskBudget:
    """What the machine says, or half of what is free where items will lie."""
    if not (said := environment.get(ENVIRONMENT_VARIABLE, "").strip()):
        return DiskBudget(shutil.disk_usage(folder).free // 2)
    if not (most_bytes := bytes_of(said)):
        raise ConfigError(f"{ENVIRONMENT_VARIABLE}={said!r}: give bytes, such as 500MB or 200GB")
    return DiskBudget(most_bytes)
