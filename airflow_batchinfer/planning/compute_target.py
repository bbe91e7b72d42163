"""ComputeTarget: which of Airflow's workers a step's nodes run on. Words of Airflow's own, passed on as they are."""

from dataclasses import dataclass


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
