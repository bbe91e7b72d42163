"""GPUs of this host: which there are, and a lock file for each, so that two nodes on one host never share one unasked.

`BATCHINFER_GPUS` says what there is instead of looking: `0,1` names GPUs, an empty value says none, and a name given
twice (`0,0`) offers that GPU to two workers. A lock is an `flock` on an open file: it ends with the process that holds it.
"""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

SETTING = "BATCHINFER_GPUS"


@dataclass(frozen=True)
class GpuLock:
    """One GPU, ours until `release`."""

    gpu: str
    file: BinaryIO

    def release(self) -> None:
        """Let others have it."""
        self.file.close()


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, by the ids that CUDA_VISIBLE_DEVICES takes."""
    for name in (SETTING, "CUDA_VISIBLE_DEVICES"):
        if name in os.environ:
            return tuple(gpu for gpu in os.environ[name].replace(" ", "").split(",") if gpu and gpu != "-1")
    return _gpus_of_the_driver()


def lock_gpus(gpus: Sequence[str], most: int, *, different: bool = False) -> list[GpuLock]:
    """Take up to `most` of these GPUs, those that are free now; possibly none. `different`: no GPU twice."""
    taken: list[GpuLock] = []
    seen: dict[str, int] = {}
    for gpu in gpus:
        share = seen[gpu] = seen.get(gpu, -1) + 1
        if different and any(lock.gpu == gpu for lock in taken):
            continue
        if len(taken) < most and (file := _lock(f"{gpu}.{share}")):
            taken.append(GpuLock(gpu, file))
    return taken


def _lock(name: str) -> BinaryIO | None:
    folder = Path(tempfile.gettempdir()) / "batchinfer-gpus"
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777)  # nodes of several users share a host's GPUs
    path = folder / f"{quote(name, safe='')}.lock"
    file = open(path, "rb", opener=_open_or_make)  # noqa: SIM115 - held open, that is the lock
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _open_or_make(path: str, flags: int) -> int:
    """Make the file only where there is none: the kernel refuses O_CREAT for another user's file in a shared folder."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW)
    except FileNotFoundError:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CREAT, 0o644)


def _gpus_of_the_driver() -> tuple[str, ...]:
    """What NVIDIA's driver lists; a host without it has none."""
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],  # noqa: S607 - wherever the driver put it
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(said.stdout.split())
