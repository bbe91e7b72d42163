"""What a DAG asks for, to plain values and back, without Airflow: what only a run knows is told by one method here as there."""

import json
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_batchinfer.datasets import FileDataset, TabularDataset
from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.operators.asked import (
    Unstored,
    anchored,
    check_source,
    config_of,
    in_dag_folder,
    inputs_of,
    is_given,
    plain_arguments,
    plain_config,
    plain_inputs,
    plain_models,
    plain_output_dir,
    plain_side_inputs,
)
from airflow_batchinfer.planning.compute_target import ComputeTarget
from airflow_batchinfer.planning.config import ParallelRunConfig

TEMPLATE = "{{ params.x }}"
OPTIONAL = sorted(
    {field.name for field in fields(ParallelRunConfig) if field.default is None} - {"environment_variables", "compute_target"}
)


class Later:
    """The output of a task, as Airflow's XComArg is one."""

    def iter_references(self) -> Iterable[Any]:
        return ()


class Task:
    """An operator: it has an output."""

    def __init__(self) -> None:
        self.output = Later()


def config(**given: object) -> ParallelRunConfig:
    return ParallelRunConfig(**{"entry_script": "score.py", "error_threshold": 10, **given})  # type: ignore[arg-type]


def faults_of(call: Callable[..., object], *given: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        call(*given)
    return raised.value.faults


def is_plain(value: object) -> bool:
    """Whether Airflow renders it, stores it, and gives the same text for it on every parse."""
    if isinstance(value, dict):
        return all(type(name) is str and is_plain(each) for name, each in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


# The config.


def test_a_config_becomes_plain_values_without_what_is_not_rendered():
    full = config(
        source_directory=Path("folder"),
        entry_script=Path("score.py"),
        mini_batch_size=5,
        environment_variables={"TOKEN": "secret"},
        compute_target=ComputeTarget(pool="p"),
    )
    plain = plain_config(full)
    assert is_plain(plain)
    assert set(plain) == {field.name for field in fields(ParallelRunConfig)} - {"environment_variables", "compute_target"}
    assert (plain["source_directory"], plain["entry_script"], plain["mini_batch_size"]) == ("folder", "score.py", 5)


def test_a_config_comes_back_with_the_variables_of_this_run():
    given = config(mini_batch_size="7", node_count=2, run_invocation_timeout=1.5, environment_variables={"A": TEMPLATE})
    back = config_of(plain_config(given), {"A": "rendered"})
    assert (back.rules(), back.cut(of_tables=False).size, back.environment_variables) == (given.rules(), 7, {"A": "rendered"})


def test_an_environment_comes_back_without_what_a_template_gave_nothing_for():
    environment = PythonEnvironment(requirements=["numpy=={{ params.numpy }}", "six"], python=TEMPLATE)
    plain = plain_config(config(environment=environment))
    assert is_plain(plain)
    assert plain["environment"] == {"requirements": ["numpy=={{ params.numpy }}", "six"], "python": TEMPLATE}
    rendered = {**plain, "environment": {"requirements": ["numpy==1.26.4", "six"], "python": ""}}
    assert config_of(rendered, {}).environment == PythonEnvironment(requirements=["numpy==1.26.4", "six"])
    assert config_of({**plain, "environment": {}}, {}).environment == PythonEnvironment()


def test_a_fault_of_a_rendered_environment_is_told_beside_others():
    rendered = {**plain_config(config()), "environment": {"python": "2.7", "requirements": ["-e ."]}}
    assert [fault.partition(": ")[2].partition(" ")[0] for fault in faults_of(config_of, rendered, {})] == ["'-e", "python='2.7':"]


@pytest.mark.parametrize("rendered", ["", "None", None], ids=repr)
@pytest.mark.parametrize("name", OPTIONAL)
def test_a_template_that_gave_nothing_means_the_default_of_what_may_be_left_out(name: str, rendered: str | None):
    assert getattr(config_of({**plain_config(config()), name: rendered}, {}), name) is None


@pytest.mark.parametrize("name", ["error_threshold", "node_count", "run_max_try", "run_invocation_timeout", "logging_level"])
def test_a_template_that_gave_nothing_for_what_must_be_there_is_an_error_that_names_it(name: str):
    (fault,) = faults_of(config_of, {**plain_config(config()), name: ""}, {})
    assert fault.startswith(f"{name}=''")


def test_two_faults_of_what_was_rendered_are_in_one_error():
    rendered = {**plain_config(config(node_count=TEMPLATE, run_max_try=TEMPLATE)), "node_count": "0", "run_max_try": "often"}
    assert [fault.partition("=")[0] for fault in faults_of(config_of, rendered, {})] == ["node_count", "run_max_try"]


@pytest.mark.parametrize("value", [None, "", "None"], ids=repr)
def test_nothing_is_what_a_template_makes_of_nothing(value: object):
    assert not is_given(value)


@pytest.mark.parametrize("value", ["none", "0", 0, False, " "], ids=repr)
def test_what_a_template_makes_of_something_is_something(value: object):
    assert is_given(value)


def test_unstored_values_show_their_names_alone():
    assert str(Unstored({"TOKEN": "secret", "A": "b"})) == "<A, TOKEN: rendered when the task runs, never stored>"
    assert "nothing" in str(Unstored({}))


# Inputs, models, side inputs, arguments.


def test_inputs_are_datasets_paths_and_outputs_of_tasks_one_or_several():
    later = Later()
    dataset = FileDataset.from_files(["b", "a"]).skip(1)
    assert plain_inputs("in/*.png") == [{"kind": "files", "paths": ["in/*.png"], "start": 0}]
    assert plain_inputs(dataset) == [{"kind": "files", "paths": ["b", "a"], "start": 1}]
    assert plain_inputs([dataset, "dataset:digits:3", later]) == [
        *plain_inputs(dataset),
        *plain_inputs("dataset:digits:3"),
        *plain_inputs(later),
    ]
    assert plain_inputs(later)[0]["paths"] == [later]
    assert is_plain(plain_inputs([dataset, "x"]))


def test_a_task_stands_for_its_output_wherever_one_may_be_named():
    task = Task()
    assert plain_inputs(task)[0]["paths"] == [task.output]
    assert plain_inputs([task])[0]["paths"] == [task.output]
    assert plain_models([task]) == [task.output]
    assert plain_side_inputs({"labels": task}) == {"labels": task.output}
    assert plain_arguments(["--x", task]) == ["--x", task.output]
    assert plain_output_dir(task) is task.output


@pytest.mark.parametrize("inputs", [[], (), None, 5, {"in"}, "", [""], ["in", None], [["in"]], b"in", FileDataset])
def test_an_input_that_is_none_is_an_error_that_says_so(inputs: object):
    (fault, *_) = faults_of(plain_inputs, inputs)
    assert "input" in fault or "from_files" in fault


def test_models_are_text_or_outputs_of_tasks():
    later = Later()
    assert plain_models(["mnist", ("mnist:3"), TEMPLATE, later]) == ["mnist", "mnist:3", TEMPLATE, later]
    assert plain_models(()) == []
    assert faults_of(plain_models, ["mnist", 3, None]) == (
        "models: 3 is neither text nor the output of a task",
        "models: None is neither text nor the output of a task",
    )


def test_side_inputs_come_in_the_order_of_their_names():
    assert list(plain_side_inputs({"b": "1", "a": "2", "c": TEMPLATE})) == ["a", "b", "c"]
    assert faults_of(plain_side_inputs, {"labels": 3}) == ("side_inputs: 3 is neither text nor the output of a task",)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../up", "a b", "{x}", 3, None])
def test_a_side_input_s_name_is_a_name_since_it_is_a_folder_s_on_the_nodes(name: object):
    assert faults_of(plain_side_inputs, {"fine_1.x-y": "p", name: "p"}) == (
        f"side_inputs: {name!r} is no name; give letters, digits, '_', '.' and '-'",
    )


def test_arguments_become_text():
    assert plain_arguments(["--n", 3, 0.5, True, TEMPLATE]) == ["--n", "3", "0.5", "True", TEMPLATE]
    assert faults_of(plain_arguments, ["--x", None, b"y"]) == (
        "arguments: None is neither text nor the output of a task",
        "arguments: b'y' is neither text nor the output of a task",
    )


def test_a_path_is_its_text_wherever_one_may_be_given():
    path = Path("a/b")
    assert plain_inputs(path)[0]["paths"] == plain_inputs([path])[0]["paths"] == ["a/b"]
    assert plain_models([path]) == plain_arguments([path]) == ["a/b"]
    assert plain_side_inputs({"labels": path}) == {"labels": "a/b"}
    assert plain_output_dir(path) == "a/b"


def test_a_folder_that_is_called_by_a_number_may_come_as_one():
    (dataset,) = inputs_of([{"kind": "files", "paths": [20260101], "start": 0}], "/ws")
    assert dataset.paths == ("/ws/20260101",)


def test_a_glob_below_a_workspace_whose_own_path_looks_like_one_means_only_its_own_part():
    assert anchored("in/*", "/ws[1]") == "/ws[[]1]/in/*"
    assert anchored("in/a", "/ws[1]") == "/ws[1]/in/a"


@pytest.mark.parametrize("given", ["--labels", Later(), Task(), 5, {"a"}, iter(["a"])], ids=lambda given: type(given).__name__)
def test_one_thing_where_a_list_belongs_is_refused_and_not_taken_apart(given: object):
    assert faults_of(plain_arguments, given) == (f"arguments={given!r}: give a list",)
    assert faults_of(plain_models, given) == (f"models={given!r}: give a list",)


@pytest.mark.parametrize("given", [["labels"], "labels", Later()], ids=lambda given: type(given).__name__)
def test_side_inputs_that_are_no_dict_are_refused(given: object):
    assert faults_of(plain_side_inputs, given) == (f"side_inputs={given!r}: give a dict of names and paths",)


def test_an_output_folder_is_text_the_output_of_a_task_or_nothing():
    later = Later()
    assert [plain_output_dir(each) for each in (None, "out", TEMPLATE, later)] == [None, "out", TEMPLATE, later]
    assert "output_dir" in faults_of(plain_output_dir, 5)[0]


# Places.


@pytest.mark.parametrize("path", ["s3://b/k", "s3://conn@b/k", "/abs", "~/home", "dataset:digits", "file:///x", "memory://x"])
def test_what_says_where_it_is_is_left_alone(path: str):
    assert anchored(path, "/ws") == path


@pytest.mark.parametrize(
    ("path", "folder", "placed"),
    [
        ("digits/*.png", "/ws", "/ws/digits/*.png"),
        ("a", "/ws/", "/ws/a"),
        ("a", "s3://conn@bucket/ws", "s3://conn@bucket/ws/a"),
        ("./dataset:digits", "/ws", "/ws/./dataset:digits"),
        ("2026-01-01T00:00:00", "/ws", "/ws/2026-01-01T00:00:00"),
    ],
)
def test_a_relative_path_counts_from_the_folder(path: str, folder: str, placed: str):
    assert anchored(path, folder) == placed


def test_the_paths_of_inputs_count_from_the_workspace_and_their_cuts_stay():
    rendered = [{"kind": "files", "paths": ["a", "/b", "dataset:c"], "start": 1, "stop": 4}]
    assert inputs_of(rendered, "s3://ws") == [FileDataset(("s3://ws/a", "/b", "dataset:c"), 1, 4)]


def test_what_a_task_gave_may_be_several_paths():
    assert inputs_of([{"kind": "files", "paths": [["a", "b"], "c"], "start": 0}], "/ws") == [FileDataset(("/ws/a", "/ws/b", "/ws/c"))]


@pytest.mark.parametrize("path", ["", None, []])
def test_an_input_whose_template_gave_no_path_is_an_error_that_says_where_to_give_one(path: object):
    with pytest.raises(ConfigError, match="a template gave no path; say in the trigger form which input to score"):
        inputs_of([{"kind": "files", "paths": ["a", path], "start": 0}], "/ws")


def test_the_source_lies_below_the_dag_file_s_folder_unless_its_place_is_absolute():
    assert in_dag_folder(config(), Path("/dags")).entry_script == "/dags/score.py"
    placed = in_dag_folder(config(source_directory="scripts"), Path("/dags"))
    assert (placed.source_directory, placed.entry_script) == ("/dags/scripts", "score.py")
    assert in_dag_folder(config(entry_script="/elsewhere/score.py"), Path("/dags")).entry_script == "/elsewhere/score.py"


def test_a_script_that_is_not_there_is_an_error_as_far_as_it_is_known(tmp_path: Path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "score.py").touch()
    check_source(config(source_directory="scripts"), tmp_path)
    check_source(config(entry_script="scripts/score.py"), tmp_path)
    for templated in (
        {"entry_script": TEMPLATE},
        {"source_directory": TEMPLATE},
        {"entry_script": "gone.py", "source_directory": TEMPLATE},
    ):
        check_source(config(**templated), tmp_path)
    assert "gone.py" in faults_of(check_source, config(entry_script="gone.py"), tmp_path)[0]
    assert "nowhere" in faults_of(check_source, config(source_directory="nowhere"), tmp_path)[0]
    assert "gone.py" in faults_of(check_source, config(source_directory="scripts", entry_script="gone.py"), tmp_path)[0]


def test_a_table_comes_back_from_its_plain_form_with_its_paths_below_the_workspace():
    table = TabularDataset.from_csv("in/{{ ds }}/*.tsv", types={"zip": "str"}).columns(["zip"]).take(5)
    (plain,) = plain_inputs(table)
    assert json.loads(json.dumps(plain)) == plain
    (found,) = inputs_of([{**plain, "paths": ["in/2026-11-21/*.tsv"]}], "s3://bucket/ws")
    assert found == replace(table, paths=("s3://bucket/ws/in/2026-11-21/*.tsv",))
