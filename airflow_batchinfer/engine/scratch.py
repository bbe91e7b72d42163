"""A node's folder on local disk: for the source, models, fetched items and logs of one job; gone when the node ends.

A node that is killed leaves its folder behind; the next one on this machine removes it. The folder's lock, which ends
with the process that holds it, tells which folders are still in use.
"""

import fcntl
import os
import shutil
import sys
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "batchinfer-node-"
_LOCK = ".lock"

# Of Linux's <linux/fs.h>: the flag that `chattr +T` sets.
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS, _FS_TOPDIR_FL = 0x80086601, 0x40086602, 0x00020000


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of our own, for as long as the block lasts."""
    remove_abandoned(Path(tempfile.gettempdir()))
    unlocked = Path(tempfile.mkdtemp(prefix=f"new-{PREFIX}"))
    folder = unlocked.with_name(unlocked.name.removeprefix("new-"))
    with (unlocked / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unlocked.rename(folder)  # only now others look at it
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove the folders whose node is dead."""
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            with (folder / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:  # its node has removed it, but something it was fetching came after that
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, or another user's


def spread_out(folder: Path) -> None:
    """Ask the file system to lay the folders in a folder far from each other, if it is one that can.

    ext4 gives a new file no place that was given back in the last five seconds, and looks at each of those first. Where
    thousands of small files come and go, that takes longer than writing them, unless they are spread.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):  # another file system, which neither has nor needs it
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flags = array("l", [0])
            fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
            flags[0] |= _FS_TOPDIR_FL
            fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, flags)
        finally:
            os.close(descriptor)
