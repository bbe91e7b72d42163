"""What Airflow makes of a step when it reads a DAG file: the three tasks, what each of them gets, and every fault at once."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Asset, TaskGroup, XComArg, task, task_group
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import DuplicateTaskIdFound
from airflow.serialization.serialized_objects import DagSerialization
from kubernetes.client import models as k8s

from airflow_batchinfer import ComputeTarget, PythonEnvironment
from airflow_batchinfer.errors import ConfigError
from tests.contract.dag_desk import DESIGN, Desk, register, three

HOWTO = Path(__file__).parents[2] / "docs" / "howto"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# The three tasks.


def test_a_step_is_a_group_of_plan_nodes_and_merge_and_merge_follows_both(desk: Desk):
    with desk.dag() as dag:
        desk.step("predict-digits")
    plan, run, merge = three(dag, "predict-digits")
    assert dag.task_ids == ["predict-digits.plan", "predict-digits.run", "predict-digits.merge"]
    assert isinstance(run, MappedOperator)
    assert (plan.upstream_task_ids, run.upstream_task_ids) == (set(), {plan.task_id})
    assert merge.upstream_task_ids == {plan.task_id, run.task_id}
    assert (plan.trigger_rule, run.trigger_rule, merge.trigger_rule) == ("all_success", "all_success", "all_done_min_one_success")
    assert run.partial_kwargs["map_index_template"]


def test_a_step_stands_in_a_chain_as_one_task_would(desk: Desk):
    with desk.dag() as dag:
        register("before") >> desk.step() >> register("after")
    plan, run, merge = three(dag)
    assert plan.upstream_task_ids == {"before"}
    assert (run.upstream_task_ids, merge.downstream_task_ids) == ({plan.task_id}, {"after"})
    assert dag.get_task("before").downstream_task_ids == {plan.task_id}
    assert dag.get_task("after").upstream_task_ids == {merge.task_id}


def test_two_steps_follow_each_other(desk: Desk):
    with desk.dag() as dag:
        desk.step("first") >> desk.step("second")
    assert dag.get_task("second.plan").upstream_task_ids == {"first.merge"}


def test_a_step_inside_other_groups_bears_their_names(desk: Desk):
    with desk.dag() as dag, TaskGroup("outer"), TaskGroup("inner"):
        step = desk.step()
    assert dag.task_ids == ["outer.inner.score.plan", "outer.inner.score.run", "outer.inner.score.merge"]
    assert step.output.operator.task_id == "outer.inner.score.merge"
    assert {task.step for task in (dag.get_task("outer.inner.score.plan"), dag.get_task("outer.inner.score.merge"))} == {
        "outer.inner.score"
    }
    assert dag.get_task("outer.inner.score.merge").asset.name == "dag.outer.inner.score"


def test_a_step_may_be_told_its_dag_or_its_group_instead_of_standing_inside(desk: Desk):
    dag = desk.made()
    desk.step("one", dag=dag)
    desk.step("two", parent_group=TaskGroup("outer", dag=dag))
    assert dag.task_ids == ["one.plan", "one.run", "one.merge", "outer.two.plan", "outer.two.run", "outer.two.merge"]


def test_two_steps_of_one_name_are_refused(desk: Desk):
    with pytest.raises(DuplicateTaskIdFound, match="score"), desk.dag():
        desk.step()
        desk.step()


def test_the_output_is_the_path_that_merge_gives_and_whoever_takes_it_waits_for_merge(desk: Desk):
    @task
    def use(path: str) -> str:
        return path

    with desk.dag() as dag:
        step = desk.step()
        use(step.output)
        desk.step("second", inputs=step.output)
        desk.step("third", inputs=[step])
    assert isinstance(step.output, XComArg)
    for waiting in ("use", "second.plan", "third.plan"):
        assert dag.get_task(waiting).upstream_task_ids == {"score.merge"}


def test_the_words_for_the_page_are_the_group_s(desk: Desk):
    with desk.dag():
        step = desk.step(tooltip="scores", doc_md="# How")
    assert (step.tooltip, step.doc_md) == ("scores", "# How")


# Airflow's arguments.


def test_without_a_word_each_task_is_tried_twice_more(desk: Desk):
    with desk.dag() as dag:
        desk.step()
    assert [each.retries for each in three(dag)] == [2, 2, 2]


def test_the_dag_s_defaults_reach_all_three_and_nothing_of_ours_is_in_their_way(desk: Desk):
    defaults = {"retries": 5, "pool": "x", "owner": "me", "queue": "q", "retry_delay": timedelta(seconds=7), "priority_weight": 3}
    with desk.dag(default_args=defaults) as dag:
        desk.step()
    for each in three(dag):
        assert {name: getattr(each, name) for name in defaults} == defaults


@pytest.mark.parametrize("retries", [0, 7])
def test_retries_of_the_dag_of_a_group_above_and_of_the_step_s_own_defaults_stay(desk: Desk, retries: int):
    with desk.dag(default_args={"retries": retries}) as dag:
        desk.step("of_the_dag")
        with TaskGroup("group", default_args={"retries": retries + 1}), TaskGroup("inner"):
            desk.step("of_the_group")
        desk.step("of_the_step", default_args={"retries": retries + 2})
        desk.step("given", default_args={"retries": retries + 2}, retries=retries + 3)
    for more, name in enumerate(("of_the_dag", "group.inner.of_the_group", "of_the_step", "given")):
        assert [each.retries for each in three(dag, name)] == [retries + more] * 3


def test_a_workspace_among_the_dag_s_defaults_is_the_step_s_unless_it_says_its_own(desk: Desk):
    with desk.dag(default_args={"workspace_conn_id": "ours"}) as dag:
        model = register()
        desk.step("silent")
        with TaskGroup("group", default_args={"workspace_conn_id": "theirs"}):
            desk.step("inside")
        desk.step("by_url", workspace="/ws")
        desk.step("by_name", workspace_conn_id="mine")
    expected = {"silent": (None, "ours"), "group.inside": (None, "theirs"), "by_url": ("/ws", None), "by_name": (None, "mine")}
    assert model.workspace_conn_id == "ours"
    for step, asked in expected.items():
        plan, _, _ = three(dag, step)
        assert (plan.workspace, plan.workspace_conn_id) == asked


def test_other_defaults_of_the_dag_change_nothing_that_is_ours(desk: Desk):
    theirs = {"config": 1, "inputs": 2, "node": 3, "step": "x", "asset": "y", "models": 4, "arguments": 5, "retries": 1}
    with desk.dag(default_args=theirs) as dag:
        desk.step()
    plan, run, merge = three(dag)
    assert (plan.step, plan.models, plan.arguments, merge.asset.name) == ("score", [], [], "dag.score")
    assert run.unmap({"node": {"node": 0}}).node == {"node": 0}


def test_only_the_nodes_go_where_the_compute_target_says(desk: Desk):
    target = ComputeTarget(pool="gpu_pool", queue="gpu", executor="LocalExecutor", pool_slots=2)
    with desk.dag(default_args={"pool": "x", "retries": 1}) as dag:
        desk.step(config=desk.config(compute_target=target))
    plan, run, merge = three(dag)
    assert (run.pool, run.queue, run.executor, run.pool_slots) == ("gpu_pool", "gpu", "LocalExecutor", 2)
    for each in (plan, merge):
        assert (each.pool, each.queue, each.executor, each.pool_slots) == ("x", "default", None, 1)


def test_arguments_of_the_nodes_alone_reach_the_nodes_alone(desk: Desk):
    with desk.dag() as dag:
        desk.step(execution_timeout=timedelta(hours=1), max_active_tis_per_dagrun=3, pool="p", pool_slots=2, queue="q")
    plan, run, merge = three(dag)
    assert (run.execution_timeout, run.max_active_tis_per_dagrun, run.pool, run.pool_slots, run.queue) == (
        timedelta(hours=1),
        3,
        "p",
        2,
        "q",
    )
    for each in (plan, merge):
        assert (each.execution_timeout, each.max_active_tis_per_dagrun, each.pool, each.pool_slots) == (None, None, "default_pool", 1)


def test_what_an_executor_is_told_of_a_task_reaches_the_nodes_alone_and_is_there_when_the_scheduler_reads_the_dag(desk: Desk):
    gpu = k8s.V1ResourceRequirements(limits={"nvidia.com/gpu": "1"})
    pod = k8s.V1Pod(spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base", resources=gpu)]))
    with desk.dag() as dag:
        desk.step(executor_config={"pod_override": pod})
    read = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert [read.get_task(task.task_id).executor_config for task in three(dag)] == [{}, {"pod_override": pod}, {}]


def test_the_dag_of_the_howto_for_kubernetes_asks_for_a_gpu_for_each_node_and_for_nothing_else(desk: Desk):
    [text] = re.findall(r"^```python\n(.*?)^```", (HOWTO / "run-on-kubernetes.md").read_text(), re.MULTILINE | re.DOTALL)
    bag = DagBag(desk.write(text))
    assert bag.import_errors == {}
    plan, run, merge = three(bag.dags["mnist_on_kubernetes"])
    [container] = run.executor_config["pod_override"].spec.containers
    assert (container.name, container.resources.limits["nvidia.com/gpu"], run.pool) == ("base", "1", "gpu_pool")
    assert (plan.executor_config, merge.executor_config) == ({}, {})


def test_callbacks_and_retries_reach_all_three(desk: Desk):
    def called(context: object) -> None:
        del context

    names = [f"on_{what}_callback" for what in ("execute", "failure", "retry", "skipped", "success")]
    others = {"owner": "me", "retry_delay": timedelta(seconds=3), "max_retry_delay": timedelta(seconds=9), "retry_exponential_backoff": 2.0}
    with desk.dag() as dag:
        desk.step(**dict.fromkeys(names, called), **others, priority_weight=5, weight_rule="absolute")
    for each in three(dag):
        found = each.partial_kwargs if isinstance(each, MappedOperator) else vars(each)
        assert all(called in (found[name] if isinstance(found[name], list) else [found[name]]) for name in names)
        assert {name: getattr(each, name) for name in others} == others
        assert each.priority_weight == 5


def test_what_the_step_waits_for_is_plan_s_alone(desk: Desk):
    with desk.dag() as dag:
        desk.step(trigger_rule="none_failed", depends_on_past=True)
    plan, run, merge = three(dag)
    assert [each.trigger_rule for each in (plan, run, merge)] == ["none_failed", "all_success", "all_done_min_one_success"]
    assert [each.depends_on_past for each in (plan, run, merge)] == [True, False, False]


def test_arguments_that_nobody_takes_are_a_type_error_that_lists_them_all(desk: Desk):
    with pytest.raises(TypeError, match=r"takes no prefix_group_id, sla\. .*execution_timeout"), desk.dag():
        desk.step(sla=1, prefix_group_id=False)


def test_the_result_is_an_asset_of_merge_beside_those_that_are_given(desk: Desk):
    mine = Asset(name="mine", uri="s3://bucket/mine")
    with desk.dag() as dag:
        desk.step("a")
        desk.step("b", asset="digits")
        desk.step("c", asset=mine)
        desk.step("d", outlets=[mine])
        desk.step("e", outlets=mine)
    outlets = {step: dag.get_task(f"{step}.merge").outlets for step in "abcde"}
    assert [asset.name for asset in outlets["a"]] == ["dag.a"]
    assert outlets["b"] == [Asset("digits")]
    assert outlets["c"] == [mine]
    assert outlets["d"] == [Asset("dag.d"), mine]
    assert outlets["e"] == [Asset("dag.e"), mine]
    for step in "abcde":
        assert not dag.get_task(f"{step}.plan").outlets
        assert not dag.get_task(f"{step}.run").outlets


# What can be known to be wrong when the file is read.


def test_a_script_or_a_source_directory_that_is_not_there_is_named_with_where_it_was_looked_for(desk: Desk):
    assert desk.faults(config=desk.config(entry_script="gone.py")) == (
        f"entry_script='{desk.folder}/gone.py': there is no file {desk.folder}/gone.py",
    )
    assert "there is no folder" in desk.faults(config=desk.config(source_directory="nowhere"))[0]
    assert "there is no such file inside" in desk.faults(config=desk.config(source_directory="entry_scripts"))[0]


@pytest.mark.parametrize("count", [4, "4", 4.0, 10**9], ids=repr)
def test_more_nodes_than_airflow_maps_are_refused_by_the_setting_s_name(desk: Desk, monkeypatch: pytest.MonkeyPatch, count: str | float):
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
    told = f"node_count={int(count)}: Airflow maps at most 3 tasks ([core] max_map_length); ask for fewer nodes"
    assert desk.faults(config=desk.config(node_count=count)) == (told,)


@pytest.mark.parametrize("count", [3, "3", 3.0, "{{ params.nodes }}"], ids=repr)
def test_as_many_nodes_as_airflow_maps_are_taken(desk: Desk, monkeypatch: pytest.MonkeyPatch, count: object):
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
    with desk.dag():
        desk.step(config=desk.config(node_count=count))


@pytest.mark.parametrize("inner", [False, True], ids=["directly", "in a group within"])
def test_inside_a_mapped_group_a_step_is_refused_with_what_to_do_instead(desk: Desk, inner: bool):
    @task_group
    def each_day(day: str) -> None:
        if inner:
            with TaskGroup("inner"):
                desk.step(inputs=day)
        else:
            desk.step(inputs=day)

    with (
        pytest.raises(ConfigError, match=r"stands inside the mapped task group 'each_day'.*make one for each in a Python loop"),
        desk.dag(),
    ):
        each_day.expand(day=["a", "b"])


def test_inside_a_group_that_is_not_mapped_a_step_is_taken(desk: Desk):
    @task_group
    def both(day: str) -> None:
        desk.step(inputs=day)

    with desk.dag() as dag:
        both("a")
    assert "both.score.run" in dag.task_ids


def test_in_a_loop_each_gets_a_step_of_its_own(desk: Desk):
    with desk.dag() as dag:
        for day in ("monday", "tuesday"):
            desk.step(f"score_{day}", inputs=day)
    assert len(dag.task_ids) == 6


def test_outside_any_dag_a_step_is_refused_by_airflow(desk: Desk):
    with pytest.raises(RuntimeError, match="inside a dag"):
        desk.step()


@pytest.mark.parametrize("name", ["allow_reuse", "allow_empty"])
@pytest.mark.parametrize("value", ["{{ params.x }}", "False", 0, None])
def test_a_flag_is_true_or_false_since_any_text_would_be_true(desk: Desk, name: str, value: object):
    assert desk.faults(**{name: value}) == (f"{name}={value!r}: give True or False; it cannot be a template",)


def test_every_fault_of_a_step_is_in_one_error(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "3")
    found = desk.faults(
        config=desk.config(entry_script="gone.py", node_count=9, compute_target=ComputeTarget(pool="a")),  # a pool, and another below
        inputs=[],
        models="mnist",
        side_inputs={"labels": 5},
        arguments="--x",
        output_dir=5,
        allow_reuse="yes",
        workspace="/ws",
        workspace_conn_id="ws",
        pool="b",
    )
    assert [fault.partition("=")[0].partition(":")[0].partition(" ")[0] for fault in found] == [
        "node_count",
        "entry_script",
        "workspace",
        "inputs",
        "models",
        "side_inputs",
        "arguments",
        "output_dir",
        "allow_reuse",
        "pool",
    ]


def test_files_that_say_the_environment_are_looked_at_in_the_dag_s_folder(desk: Desk):
    def faults(environment: PythonEnvironment) -> tuple[str, ...]:
        return desk.faults(config=desk.config(environment=environment))

    (desk.folder / "requirements.txt").write_text("-r more.txt\n-i https://user:hunter2@h/simple\n")
    (more, secret) = faults(PythonEnvironment(requirements="requirements.txt"))
    assert f"there is no file {desk.folder}/more.txt" in more
    assert "holds a secret" in secret
    assert "hunter2" not in secret
    (gone,) = faults(PythonEnvironment.from_conda_specification("myenv.yml"))
    assert f"there is no file {desk.folder}/myenv.yml" in gone
    (desk.folder / "myenv.yml").write_text("")
    for late in (PythonEnvironment(requirements="{{ params.x }}"), PythonEnvironment.from_conda_specification("myenv.yml")):
        with desk.dag():
            desk.step(config=desk.config(environment=late))


def test_a_file_with_a_fault_is_an_import_error_that_tells_it(desk: Desk):
    bag = DagBag(desk.write(DESIGN.replace("digit_identification.py", "gone.py")))
    (told,) = bag.import_errors.values()
    assert "ConfigError: entry_script='gone.py': there is no such file inside source_directory" in told
