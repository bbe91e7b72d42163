"""What a replica has of its machine, as the variables it is started with, and the cores it is held to.

A seat's GPUs are locked, as those of a node's workers are: whoever finds too few free ones gets no seat now, and asks again
later. Nothing here waits, and nothing is remembered of who has which seat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airflow_batchinfer.environments.gpus import GpuLock, lock_gpus
from airflow_batchinfer.service.config import ServiceConfig
from airflow_batchinfer.service.machine import Machine


@dataclass(frozen=True)
class Seat:
    """One replica's, until `release`."""

    variables: Mapping[str, str] = field(default_factory=dict)
    cores: tuple[int, ...] = ()
    locks: tuple[GpuLock, ...] = ()

    def release(self) -> None:
        """Let others have it."""
        for lock in self.locks:
            lock.release()


class Seats:
    """Where replicas get theirs.

    :param gpus: Those of the machine.
    :param gpus_each: How many each replica has to itself: 0 hides them, None leaves them alone.
    :param cores: Those that replicas are held to.
    :param cores_each: How many of these each may use, the next ones for the next place; None leaves cores alone.
    """

    def __init__(
        self, gpus: Sequence[str] = (), gpus_each: int | None = None, cores: Sequence[int] = (), cores_each: int | None = None
    ) -> None:
        self._gpus = tuple(gpus)
        self._gpus_each = gpus_each
        self._cores = tuple(cores)
        self._cores_each = cores_each

    @property
    def gpus_each(self) -> int:
        """How many GPUs a seat has."""
        return self._gpus_each or 0

    @property
    def wants(self) -> str:
        """What a seat takes."""
        return f"{self.gpus_each} of this machine's {len(set(self._gpus))} GPUs"

    def take(self, place: int) -> Seat | None:
        """A seat; None if there are not enough free GPUs now."""
        cores = self._cores_of(place)
        if self._gpus_each is None:
            return Seat(cores=cores)
        locks = lock_gpus(self._gpus, self._gpus_each, different=True)
        if len(locks) < self._gpus_each:
            Seat(locks=tuple(locks)).release()
            return None
        return Seat({"CUDA_VISIBLE_DEVICES": ",".join(lock.gpu for lock in locks)}, cores, tuple(locks))

    def _cores_of(self, place: int) -> tuple[int, ...]:
        each, of = self._cores_each, len(self._cores)
        if each is None or each >= of:
            return ()
        return tuple(sorted(self._cores[(place * each + number) % of] for number in range(each)))


def seats_of(config: ServiceConfig, machine: Machine) -> Seats:
    """Those of a service that is deployed on this machine, and that `limits` has found no fault with."""
    each = None if config.cpu_cores_limit is None else int(config.cpu_cores_limit)
    return Seats(machine.gpus, config.gpu_cores, machine.own_cores, each)
