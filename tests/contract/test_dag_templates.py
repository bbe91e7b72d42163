"""What Airflow renders and what it stores of a step: plain values, the same on every reading, and no secret."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Asset, Param, XComArg
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.serialization.serialized_objects import DagSerialization

from airflow_batchinfer import FileDataset, ParallelRunConfig, PythonEnvironment, RegisterModel
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.operators.asked import config_of
from tests.contract.dag_desk import DESIGN, Desk, register, three


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# Templates.


def plain(value: object, tasks: list[object]) -> bool:
    """Whether Airflow renders and stores it; outputs of tasks are noted."""
    if isinstance(value, dict):
        return all(type(name) is str and plain(each, tasks) for name, each in value.items())
    if isinstance(value, list):
        return all(plain(each, tasks) for each in value)
    if isinstance(value, XComArg):
        tasks.append(value.operator.task_id)
        return True
    return value is None or type(value) in (str, int, float, bool)


def test_template_fields_hold_plain_values_alone_and_outputs_of_tasks(desk: Desk):
    with desk.dag() as dag:
        desk.step(
            config=desk.config(node_count="{{ params.nodes }}", description=register("x").output, source_directory=Path("entry_scripts"),
                               entry_script=Path("digit_identification.py"), environment_variables={"A": "b"},
                               environment=PythonEnvironment(requirements=["six", "numpy=={{ params.numpy }}"])),
            inputs=(FileDataset.from_files([register("y").output, "b"]).take(5), "c"),
            models=(register("z").output, "m:1"), side_inputs={"b": "1", "a": "2"}, arguments=(1, "{a}"),
        )  # fmt: skip
    tasks: list[object] = []
    for each in three(dag):
        for name in each.template_fields:
            assert plain(each.partial_kwargs.get(name) if isinstance(each, MappedOperator) else getattr(each, name), tasks), name
    assert tasks == ["x", "y", "z"]


# Where the output of a task may stand, and where the task itself does as well.
PLACES: dict[str, Callable[[Any], dict[str, object]]] = {
    "inputs": lambda output: {"inputs": output},
    "an input": lambda output: {"inputs": ["in", output]},
    "a model": lambda output: {"models": ["m:1", output]},
    "a side input": lambda output: {"side_inputs": {"labels": output}},
    "an argument": lambda output: {"arguments": ["--x", output]},
    "the output folder": lambda output: {"output_dir": output},
}
OUTPUTS_ONLY: dict[str, Callable[[Any], dict[str, object]]] = {
    "a dataset": lambda output: {"inputs": [FileDataset.from_files(output)]},
    "a path of a dataset": lambda output: {"inputs": FileDataset.from_files(["a", output]).skip(1)},
    "the workspace": lambda output: {"workspace": output},
    "a setting": lambda output: {"config": ParallelRunConfig(entry_script="score.py", error_threshold=1, node_count=output)},
    "the script": lambda output: {"config": ParallelRunConfig(entry_script=output, error_threshold=1)},
}


@pytest.mark.parametrize("place", [*PLACES, *OUTPUTS_ONLY])
def test_the_output_of_a_task_makes_plan_wait_for_it_wherever_it_is_given(desk: Desk, place: str):
    with desk.dag() as dag:
        desk.step(**{**PLACES, **OUTPUTS_ONLY}[place](register().output))
    assert dag.get_task("score.plan").upstream_task_ids == {"register"}


@pytest.mark.parametrize("place", PLACES)
def test_a_task_stands_for_its_output_where_no_other_value_could_be_meant(desk: Desk, place: str):
    with desk.dag() as dag:
        desk.step(**PLACES[place](register()))
    assert dag.get_task("score.plan").upstream_task_ids == {"register"}


def test_the_outputs_of_a_mapped_task_and_a_param_of_the_dag_may_be_inputs(desk: Desk):
    with desk.dag(params={"more": Param("in", type="string")}) as dag:
        mapped = RegisterModel.partial(task_id="mapped", model_path="p").expand(model_name=["a", "b"])
        desk.step(inputs=[mapped.output, dag.param("more")])
    assert dag.get_task("score.plan").upstream_task_ids == {"mapped"}


def test_the_output_of_a_task_cannot_be_an_environment_variable_s_value(desk: Desk):
    with pytest.raises(ConfigError, match=r"environment_variables A, C: the output of a task cannot be given there"), desk.dag() as dag:
        output = register().output
        desk.step(config=desk.config(environment_variables={"A": output, "B": "{{ var.value.b }}", "C": dag.param("x", "y")}))


def test_a_template_is_rendered_anew_for_each_run_in_one_process(desk: Desk):
    with desk.dag(params={"x": 1}) as dag:
        desk.step(
            config=desk.config(node_count="{{ params.x }}", environment_variables={"A": "{{ params.x }}"}), inputs="in/{{ params.x }}"
        )
    plan = dag.get_task("score.plan")
    found = []
    for number in (3, 4):
        ours = plan.prepare_for_execution()
        context: Any = {"params": {"x": number}}
        ours.render_template_fields(context)
        found.append((ours.config["node_count"], ours.inputs[0]["paths"], ours.rendered_variables(context)))
    assert found == [("3", ["in/3"], {"A": "3"}), ("4", ["in/4"], {"A": "4"})]
    assert plan.config["node_count"] == "{{ params.x }}"


@pytest.mark.parametrize("native", [False, True], ids=["text", "python values"])
def test_whether_templates_give_text_or_python_values_makes_no_other_config(desk: Desk, native: bool):
    names = ("mini_batch_size", "node_count", "process_count_per_node", "run_invocation_timeout", "allowed_failed_percent", "description")
    with desk.dag(render_template_as_native_obj=native) as dag:
        desk.step(config=desk.config(**{name: f"{{{{ params.{name} }}}}" for name in names}))
    plan = dag.get_task("score.plan").prepare_for_execution()
    chosen = {"mini_batch_size": "20", "node_count": 3, "process_count_per_node": None, "run_invocation_timeout": 1.5}
    context: Any = {"params": {**chosen, "allowed_failed_percent": None, "description": "of today"}}
    plan.render_template_fields(context)
    expected = desk.config(**{**chosen, "description": "of today"})
    found = config_of(plan.config, {})
    assert (found.cut(of_tables=False).size, found.rules(), found.description) == (20, expected.rules(), "of today")


def test_a_file_s_name_that_ends_like_a_template_file_s_is_no_template_file(desk: Desk):
    with desk.dag() as dag:
        desk.step(arguments=["query.sql", "run.sh", "page.html"], inputs="in/all.json")
    plan = dag.get_task("score.plan")
    plan.resolve_template_files()
    assert plan.arguments == ["query.sql", "run.sh", "page.html"]


# What Airflow stores.


def test_the_design_s_own_dag_is_read_by_airflow_without_a_fault(desk: Desk):
    bag = DagBag(desk.write(DESIGN))
    assert bag.import_errors == {}
    dag = bag.dags["mnist_batch_scoring"]
    plan, run, merge = three(dag, "predict-digits-mnist")
    assert plan.upstream_task_ids == {"register_model"}
    assert (run.pool, run.queue, plan.pool) == ("gpu_pool", "gpu", "default_pool")
    assert merge.outlets == [Asset("mnist_batch_scoring.predict-digits-mnist")]


NAMED = DESIGN.replace("}):\n", "}) as dag:\n")


def stored(file: Path) -> str:
    dags = [each for each in runpy.run_path(str(file)).values() if isinstance(each, DAG)]
    return json.dumps([DagSerialization.to_dict(dag) for dag in dags], sort_keys=True)


def test_what_is_stored_of_a_dag_holds_no_value_of_an_environment_variable(desk: Desk):
    text = stored(desk.write(NAMED))
    assert "predict-digits-mnist.run" in text
    assert "never to be stored" not in text
    assert "var.value.key" not in text
    assert "<KEY, TOKEN: rendered when the task runs, never stored>" in text


def test_what_is_stored_of_a_dag_is_the_same_whoever_reads_the_file(desk: Desk):
    file = desk.write(NAMED)
    assert stored(file) == stored(file)
    program = "import sys; from pathlib import Path; from tests.contract.test_dag_templates import stored; print(stored(Path(sys.argv[1])))"
    said = subprocess.run(
        [sys.executable, "-c", program, file],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert said.stdout.splitlines()[-1] == stored(file)


def test_what_is_stored_of_a_dag_comes_back_as_a_dag_with_its_nodes_mapped(desk: Desk):
    dag = runpy.run_path(str(desk.write(NAMED)))["dag"]
    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert back.get_task("predict-digits-mnist.run").is_mapped
    assert back.get_task("predict-digits-mnist.merge").upstream_task_ids == {"predict-digits-mnist.plan", "predict-digits-mnist.run"}


def test_a_part_of_a_dag_has_the_step_s_tasks_as_the_whole_has(desk: Desk):
    with desk.dag() as dag:
        register() >> desk.step() >> register("after")
    part = dag.partial_subset("score", include_upstream=False)
    assert part.task_ids == ["score.plan", "score.run", "score.merge"]
