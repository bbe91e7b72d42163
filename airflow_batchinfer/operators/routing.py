"""Which of the three tasks an Airflow argument goes to. A pure decision.

What was not given is not passed on, so that the DAG's own defaults stay.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning.compute_target import ComputeTarget

TO_ALL = frozenset(
    {
        "retries",
        "retry_delay",
        "retry_exponential_backoff",
        "max_retry_delay",
        "retry_policy",
        "on_execute_callback",
        "on_failure_callback",
        "on_retry_callback",
        "on_skipped_callback",
        "on_success_callback",
        "owner",
        "priority_weight",
        "weight_rule",
    }
)
TO_PLAN = frozenset({"trigger_rule", "depends_on_past"})
TO_RUN = frozenset({"pool", "pool_slots", "queue", "executor", "executor_config", "execution_timeout", "max_active_tis_per_dagrun"})
TO_MERGE = frozenset({"outlets"})
DEFAULT_RETRIES = 2

Arguments = Mapping[str, Any]


def route(
    given: Arguments, target: ComputeTarget | None, default_args: Arguments, own: Iterable[str] = ()
) -> tuple[Arguments, Arguments, Arguments]:
    """The arguments of plan, run and merge; `own` are those that go to none of them."""
    known = sorted(TO_ALL | TO_PLAN | TO_RUN | TO_MERGE)
    if unknown := sorted(set(given) - set(known)):
        raise TypeError(
            f"ParallelRunOperator takes no {', '.join(unknown)}. Its own arguments are: {', '.join(own)}. "
            f"Airflow's that it passes on are: {', '.join(known)}"
        )
    where = {name: value for name, value in asdict(target).items() if value is not None} if target else {}
    if twice := sorted(set(where) & set(given)):
        raise ConfigError([f"{name}: is given both as an argument and in compute_target; leave one out" for name in twice])
    all_three = {name: value for name, value in given.items() if name in TO_ALL}
    if "retries" not in given and "retries" not in default_args:
        all_three["retries"] = DEFAULT_RETRIES
    plan, run, merge = ({name: value for name, value in given.items() if name in names} for names in (TO_PLAN, TO_RUN, TO_MERGE))
    merge = {name: default_args[name] for name in TO_MERGE if name in default_args} | merge
    plan, run = _not_by_default(TO_MERGE, default_args) | plan, _not_by_default(TO_MERGE | {"trigger_rule"}, default_args) | run
    return {**all_three, **plan}, {**all_three, **run, **where}, {**all_three, **merge}


def _not_by_default(names: Collection[str], default_args: Arguments) -> dict[str, Any]:
    """What takes back defaults that Airflow would give to every task, where they are another task's."""
    nothing = {"outlets": [], "trigger_rule": "all_success"}
    return {name: nothing[name] for name in names if name in default_args}
