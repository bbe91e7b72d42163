"""What a replica has of its machine, as the variables it is started with: GPUs that nobody else uses.

A seat's GPUs are locked, as those of a node's workers are: whoever finds too few free ones gets no seat now, and asks again
later. Nothing here waits, and nothing is remembered of who has which seat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_batchinfer.environments.gpus import GpuLock, lock_gpus


@dataclass(frozen=True)
class Seat:
    """One replica's, until `release`."""

    variables: Mapping[str, str]
    locks: tuple[GpuLock, ...] = ()

    def release(self) -> None:
        """Let others have it."""
        for lock in self.locks:
            lock.release()


class Seats:
    """Where replicas get theirs: so many of these GPUs for each; None for each leaves GPUs alone, 0 hides them."""

    def __init__(self, gpus: Sequence[str] = (), gpus_each: int | None = None) -> None:
        self._gpus = tuple(gpus)
        self._gpus_each = gpus_each

    @property
    def wants(self) -> str:
        """What a seat takes."""
        return f"{self._gpus_each or 0} of this machine's {len(set(self._gpus))} GPUs"

    def take(self) -> Seat | None:
        """A seat; None if there are not enough free GPUs now."""
        if self._gpus_each is None:
            return Seat({})
        locks = lock_gpus(self._gpus, self._gpus_each, different=True)
        if len(locks) < self._gpus_each:
            Seat({}, tuple(locks)).release()
            return None
        return Seat({"CUDA_VISIBLE_DEVICES": ",".join(lock.gpu for lock in locks)}, tuple(locks))
