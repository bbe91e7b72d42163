import pytest

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.operators.routing import DEFAULT_RETRIES, route
from airflow_batchinfer.planning.compute_target import ComputeTarget

# The three tasks, in the order in which their arguments come.
PLAN, RUN, MERGE = range(3)
# Where the design says that each argument goes.
TO_ALL = """retries retry_delay retry_policy retry_exponential_backoff max_retry_delay on_execute_callback on_failure_callback
on_retry_callback on_skipped_callback on_success_callback owner priority_weight weight_rule"""
TO_RUN = "pool pool_slots queue executor executor_config execution_timeout max_active_tis_per_dagrun"
DESIGN = {
    **{name: {PLAN, RUN, MERGE} for name in TO_ALL.split()},
    **{name: {PLAN} for name in ("trigger_rule", "depends_on_past")},
    **{name: {RUN} for name in TO_RUN.split()},
    "outlets": {MERGE},
}
ALL = {name: object() for name in DESIGN}


@pytest.mark.parametrize("name", DESIGN)
def test_each_argument_goes_where_the_design_says_and_nowhere_else(name: str):
    value = object()
    routed = route({name: value}, None, {})
    assert {task for task in (PLAN, RUN, MERGE) if routed[task].get(name) is value} == DESIGN[name]
    assert {task for task in (PLAN, RUN, MERGE) if name in routed[task]} == DESIGN[name]


@pytest.mark.parametrize("task", [PLAN, RUN, MERGE])
def test_all_at_once_go_each_its_own_way(task: int):
    assert route(ALL, None, {})[task] == {name: value for name, value in ALL.items() if task in DESIGN[name]}


def test_what_is_not_given_is_not_passed_on():
    assert route({}, None, {"retries": 5, "pool": "x"}) == ({}, {}, {})
    assert route({}, ComputeTarget(), {"retries": 5}) == ({}, {}, {})


def test_without_a_word_on_retries_there_are_two_for_each_task():
    assert DEFAULT_RETRIES == 2
    assert route({}, None, {"owner": "me"}) == ({"retries": 2}, {"retries": 2}, {"retries": 2})


@pytest.mark.parametrize("retries", [0, 1, 7])
def test_retries_that_are_given_stay_as_they_are_also_none_at_all(retries: int):
    assert [arguments["retries"] for arguments in route({"retries": retries}, None, {"retries": 9})] == [retries] * 3


def test_retries_of_the_dag_stay_the_dag_s_also_none_at_all():
    assert all("retries" not in arguments for arguments in route({}, None, {"retries": 0}))


def test_a_falsy_value_is_a_value():
    plan, run, _ = route({"depends_on_past": False, "pool_slots": 0, "execution_timeout": None}, None, {"retries": 1})
    assert plan == {"depends_on_past": False}
    assert run == {"pool_slots": 0, "execution_timeout": None}


def test_a_compute_target_s_words_go_to_the_nodes_those_only_that_it_has():
    target = ComputeTarget(pool="gpu_pool", queue="gpu")
    assert route({}, target, {"retries": 1}) == ({}, {"pool": "gpu_pool", "queue": "gpu"}, {})
    assert route({}, ComputeTarget(executor="CeleryExecutor", pool_slots=2), {"retries": 1})[RUN] == {
        "executor": "CeleryExecutor",
        "pool_slots": 2,
    }


def test_a_compute_target_and_arguments_that_say_other_things_go_together():
    _, run, _ = route({"execution_timeout": 5, "pool_slots": 3}, ComputeTarget(pool="gpu_pool"), {"retries": 1})
    assert run == {"execution_timeout": 5, "pool_slots": 3, "pool": "gpu_pool"}


def test_what_is_said_twice_is_refused_with_every_name():
    with pytest.raises(ConfigError) as raised:
        route({"pool": "a", "queue": "b", "owner": "me"}, ComputeTarget(pool="a", queue="c", executor="d"), {})
    assert raised.value.faults == (
        "pool: is given both as an argument and in compute_target; leave one out",
        "queue: is given both as an argument and in compute_target; leave one out",
    )


def test_what_nobody_takes_is_a_type_error_that_lists_it_and_all_that_is_taken():
    with pytest.raises(TypeError) as raised:
        route({"zebra": 1, "inlets": 2, "pool": "x"}, None, {})
    told = str(raised.value)
    assert told.startswith("ParallelRunOperator takes no inlets, zebra.")
    assert all(name in told for name in DESIGN)


def test_what_is_given_is_not_changed():
    given, defaults = {"pool": "x"}, {"owner": "me"}
    route(given, ComputeTarget(queue="gpu"), defaults)
    assert (given, defaults) == ({"pool": "x"}, {"owner": "me"})


def test_defaults_for_every_task_that_are_one_task_s_are_taken_back_from_the_others():
    plan, run, merge = route({}, None, {"retries": 1, "outlets": ["asset"], "trigger_rule": "all_done"})
    assert plan == {"outlets": []}
    assert run == {"outlets": [], "trigger_rule": "all_success"}
    assert merge == {"outlets": ["asset"]}
