"""A node's folder on local disk: for the source, models, fetched items and logs of one job; gone when the node ends.

A node that is killed leaves its folder behind; the next one on this machine removes it. The folder's lock, which ends
with the process that holds it, tells which folders are still in use.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "batchinfer-node-"
_LOCK = ".lock"


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
