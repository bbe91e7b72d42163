"""ComputeTarget: which of Airflow's workers a step's nodes run on. Words of Airflow's own, passed on as they are."""

from dataclasses import asdict, dataclass

from airflow_batchinfer.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ComputeTarget:
    """Where the nodes run; what is not given is Airflow's default.

    :param pool: The pool whose slots the nodes take.
    :param queue: The queue of the Celery workers that have the GPUs.
    :param executor: The executor, where several are configured.
    :param pool_slots: How many slots a node takes.
    """

    pool: str | None = None
    queue: str | None = None
    executor: str | None = None
    pool_slots: int | None = None

    def __post_init__(self) -> None:
        faults = [
            f"ComputeTarget({name}={value!r}): Airflow takes no template there, since it decides by it before a task runs"
            for name, value in asdict(self).items()
            if isinstance(value, str) and ("{{" in value or "{%" in value)
        ]
        if self.pool_slots is not None and (not isinstance(self.pool_slots, int) or self.pool_slots < 1):
            faults.append(f"ComputeTarget(pool_slots={self.pool_slots!r}): give a whole number, 1 or more")
        if faults:
            raise ConfigError(faults)
