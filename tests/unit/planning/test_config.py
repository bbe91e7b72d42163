from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from airflow_batchinfer.environments.python_environment import PythonEnvironment, is_template
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning.compute_target import ComputeTarget
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.cutting import Cut
from airflow_batchinfer.planning.thresholds import Thresholds


def config(**given: object) -> ParallelRunConfig:
    return ParallelRunConfig(**{"entry_script": "score.py", "error_threshold": 10, **given})  # type: ignore[arg-type]


def faults(**given: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        config(**given)
    return raised.value.faults


def test_the_defaults_are_those_of_the_original():
    given = config()
    assert given.cut(of_tables=False).size == 10
    assert given.append_row_file_name == "parallel_run_step.txt"
    assert given.appends_rows
    rules = given.rules()
    assert (rules.max_tries, rules.run_timeout_seconds, rules.nodes, rules.processes, rules.logging_level) == (3, 60.0, 1, None, "INFO")
    assert rules.thresholds == Thresholds(10, None, None)


def test_none_is_the_default_where_the_original_takes_it_so():
    none = dict.fromkeys(["append_row_file_name", "logging_level", "run_invocation_timeout", "run_max_try", "environment_variables"])
    assert config(**none) == config()


def test_blanks_around_a_path_are_no_part_of_it_and_an_empty_folder_is_none():
    assert config(entry_script=" score.py\n", source_directory=" scripts ") == config(entry_script="score.py", source_directory="scripts")
    assert config(source_directory=" ").source_directory is None


def test_numbers_that_came_as_text_are_the_same_as_numbers():
    said = {"error_threshold": "10", "allowed_failed_count": "5", "allowed_failed_percent": "2.5", "node_count": "4"}
    said |= {"process_count_per_node": "8", "run_invocation_timeout": "1.5", "run_max_try": "2"}
    assert config(**said) == config(**{name: float(text) for name, text in said.items()})
    assert type(config(**said).node_count) is int


def test_under_summary_only_there_is_no_file_whose_name_could_be_wrong():
    assert not config(output_action="Summary_Only", append_row_file_name="rows/of today?.gz").appends_rows


def test_the_script_and_the_threshold_must_be_given():
    with pytest.raises(TypeError, match=r"entry_script.*error_threshold"):
        ParallelRunConfig()  # type: ignore[call-arg]


GOOD = {
    "error_threshold": [-1, 0, 10, "10", "-1", 3.0],
    "allowed_failed_count": [None, -1, 0, "5"],
    "allowed_failed_percent": [None, 0, 100, 12.5, "50"],
    "output_action": ["append_row", "summary_only", "Append_Row", "SUMMARY_ONLY"],
    "append_row_file_name": ["rows.txt", "Rows.TXT", "no_ending", "with space.txt", "ümläut.txt"],
    "mini_batch_size": [None, 1, "1", "10", 100],
    "node_count": [1, "4"],
    "process_count_per_node": [None, 1, "8"],
    "logging_level": ["WARNING", "INFO", "DEBUG", "debug"],
    "run_invocation_timeout": [0.5, 60, "600"],
    "run_max_try": [1, "3"],
    "isolate_failures": [True, False, "true", "FALSE"],
    "azureml_compat": ["auto", True, False, "true", "Auto"],
    "tensorflow_v1": ["auto", True, False, "FALSE"],
    "environment_variables": [{}, {"NAME": "value"}, {"NAME": ""}, {"NAME": "a=b"}, {"NAME": "{{ var.value.x }}"}],
    "environment": [None, PythonEnvironment(), PythonEnvironment(requirements=["numpy", "{{ params.x }}"])],
    "compute_target": [None, ComputeTarget(), ComputeTarget(pool="p", queue="q", executor="e", pool_slots=2)],
    "entry_script": ["score.py", Path("scripts/score.py")],
    "source_directory": [None, "scripts", Path("scripts")],
}
BAD = {
    "entry_script": ["", None, 3, b"score.py", ["score.py"], "a\0b"],
    "source_directory": [3, b"scripts", "a\0b"],
    "error_threshold": [-2, "-2", 1.5, "many", None, True, float("nan"), float("inf"), 10**400, "", []],
    "allowed_failed_count": [-2, 1.5, "x", False, float("inf")],
    "allowed_failed_percent": [-0.1, 100.1, "half", float("nan"), float("inf")],
    "output_action": ["append", "", None, 1, "append_rows"],
    "append_row_file_name": ["", ".", "..", "_errors.jsonl", "_x", "a\0b", 3, *(f"a{bad}b" for bad in '~"#%&*:<>?/\\{|}')],
    "mini_batch_size": [0, "0", -1, "ten", "1.5", "", "10 files", True, "10kb ", "1tb"],
    "node_count": [0, -1, "0", None, 1.5, True, float("inf")],
    "process_count_per_node": [0, -1, 1.5],
    "logging_level": ["ERROR", "", 10],
    "run_invocation_timeout": [0, -1, "soon", True, float("nan")],
    "run_max_try": [0, -1, 1.5],
    "isolate_failures": ["", "yes", None, 1, "None"],
    "azureml_compat": ["", "yes", None, 1, "None"],
    "tensorflow_v1": ["", "1.15", None, 1],
    "environment_variables": [{"A=B": "x"}, {"": "x"}, {"A": 1}, {1: "a"}, {"A": "x\0y"}, {"A\0": "x"}, ["A=B"], "A=B", "{{ params.x }}"],
    "environment": ["requirements.txt", {"python": "3.11"}, "{{ params.x }}", PythonEnvironment],
    "compute_target": ["gpu-cluster", {"pool": "gpu"}, "{{ params.x }}", ComputeTarget],
}


def each(values: dict[str, list[Any]]) -> pytest.MarkDecorator:
    given = [(name, value) for name, all_values in values.items() for value in all_values]
    return pytest.mark.parametrize(("name", "value"), given, ids=[f"{name}={value!r}"[:60] for name, value in given])


@each(GOOD)
def test_a_value_that_fits_is_taken(name: str, value: object):
    config(**{name: value}).rules()


@each(BAD)
def test_a_value_that_does_not_fit_is_refused_by_its_name(name: str, value: object):
    (fault,) = faults(**{name: value})
    assert fault.startswith(name)
    assert "give" in fault or "must be" in fault or "holds none of" in fault


@pytest.mark.parametrize("size", ["1kb", "10MB", "1gB"])
def test_a_mini_batch_size_in_bytes_is_said_to_be_for_tables(size: str):
    with pytest.raises(ConfigError) as raised:
        config(mini_batch_size=size).cut(of_tables=False)
    assert raised.value.faults == (f"mini_batch_size={size!r}: a size in bytes is for tables; give a number of files, such as 10",)


@pytest.mark.parametrize(
    ("size", "in_bytes"), [(None, 1 << 20), ("1024", 1024), ("1kb", 1 << 10), ("1024KB", 1 << 20), ("10MB", 10 << 20), ("1gB", 1 << 30)]
)
def test_a_mini_batch_of_a_table_is_measured_in_bytes_in_powers_of_1024(size: str | None, in_bytes: int):
    assert config(mini_batch_size=size).cut(of_tables=True) == Cut(in_bytes)


def test_a_partition_is_a_mini_batch_so_a_size_beside_it_is_refused():
    assert config(partition_keys=["region", "day"]).cut(of_tables=True).keys == ("region", "day")
    (fault,) = faults(partition_keys=["region"], mini_batch_size="10")
    assert fault == "partition_keys=['region'] with mini_batch_size='10': give one; a partition is a mini-batch"


@pytest.mark.parametrize(("said", "isolates"), [(True, True), ("TRUE", True), ("true", True), (False, False), ("false", False)])
def test_whether_failures_are_isolated_may_be_said_as_a_template_renders_it(said: object, isolates: bool):
    assert config(isolate_failures=said).isolates_failures is isolates


def test_a_partition_is_never_called_in_parts():
    assert faults(isolate_failures=True, partition_keys=["region"]) == (
        "isolate_failures with partition_keys=['region']: give one; a partition is never called in parts",
    )
    assert not config(isolate_failures=False, partition_keys=["region"]).isolates_failures


@pytest.mark.parametrize("keys", ["region", [""], ["a", "a"], [1], 7])
def test_partition_keys_that_are_no_list_of_names_are_refused(keys: object):
    assert faults(partition_keys=keys) == (f"partition_keys={keys!r}: give a list of names, each once",)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet", "ROWS.CSV"])
@pytest.mark.parametrize(("said", "includes"), [(True, True), ("TRUE", True), (False, False), ("False", False)], ids=repr)
def test_what_has_columns_has_room_for_the_item(name: str, said: object, includes: bool):
    assert config(append_row_file_name=name, include_item=said).includes_item is includes


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.TXT.GZ", "rows.jsonl.zst", "rows.zip"])
def test_a_result_that_should_be_packed_is_refused_with_what_can_be_had(name: str):
    (fault,) = faults(append_row_file_name=name)
    assert fault == (
        f"append_row_file_name={name!r}: results are not packed; give {name.rpartition('.')[0]!r}, or a name in .parquet, "
        "which is compressed within"
    )


@pytest.mark.parametrize("name", ["rows.txt", "csv", "rows.csv.old", "rows"])
def test_text_has_no_columns_and_so_no_room_for_the_item(name: str):
    (fault,) = faults(append_row_file_name=name, include_item="True")
    assert fault == f"include_item=True: {name!r} is text, which has no columns; let append_row_file_name end in .csv, .jsonl or .parquet"
    assert not config(append_row_file_name=name, include_item="False").includes_item


def test_a_script_that_writes_its_own_files_names_its_items_itself():
    (fault,) = faults(append_row_file_name="rows.csv", output_action="Summary_Only", include_item=True)
    assert fault.startswith("include_item=True with output_action='summary_only'")


def test_whether_the_item_has_room_is_asked_when_its_templates_are_rendered():
    config(append_row_file_name="{{ params.name }}", include_item=True)
    config(include_item="{{ params.include }}")
    with pytest.raises(ConfigError, match="give True or False"):
        config(include_item="{{ params.include }}").require_rendered()
    assert faults(include_item="perhaps") == ("include_item='perhaps': give True or False",)


def test_no_environment_variables_may_be_said_as_none_as_in_the_original():
    assert not config(environment_variables=None).environment_variables


def test_one_error_lists_every_fault():
    found = faults(
        entry_script="",
        error_threshold=-2,
        allowed_failed_count=-2,
        allowed_failed_percent=101,
        output_action="x",
        append_row_file_name="",
        mini_batch_size=0,
        node_count=0,
        process_count_per_node=0,
        logging_level="x",
        run_invocation_timeout=0,
        run_max_try=0,
        environment_variables={"A": 1, "B": 2},
    )
    assert len(found) == 14


def test_the_values_are_translated_into_numbers_with_units():
    rules = config(
        error_threshold="-1",
        allowed_failed_count="3",
        allowed_failed_percent="12.5",
        node_count="2",
        process_count_per_node="4",
        run_invocation_timeout="1.5",
        run_max_try="2",
        logging_level="debug",
    ).rules()
    assert rules.thresholds == Thresholds(-1, 3, 12.5)
    assert (rules.nodes, rules.processes, rules.run_timeout_seconds, rules.max_tries, rules.logging_level) == (2, 4, 1.5, 2, "DEBUG")


def test_the_file_s_name_is_kept_as_it_is_given():
    assert config(append_row_file_name="Rows Of Today.TXT").append_row_file_name == "Rows Of Today.TXT"


def test_summary_only_appends_no_rows_whatever_its_case():
    assert not config(output_action="Summary_Only").appends_rows


# Templates.

TEMPLATES = ("{{ params.x }}", "before {% if a %}1{% endif %} after", "{{ 0")
# The two that reach the nodes on other ways.
OBJECTS = ("environment", "environment_variables", "compute_target")
RENDERED = [field.name for field in fields(ParallelRunConfig) if field.name not in OBJECTS]


class Later:
    """The output of a task, as Airflow's XComArg is one."""

    def iter_references(self) -> Iterable[Any]:
        return ()


@pytest.mark.parametrize("value", [*TEMPLATES, Later()], ids=["jinja", "block", "half", "task"])
@pytest.mark.parametrize("name", RENDERED)
def test_a_template_is_not_looked_at_before_it_is_rendered(name: str, value: object):
    given = config(**{name: value})
    assert getattr(given, name) is value
    assert is_template(value)


@pytest.mark.parametrize("name", [name for name in RENDERED if name not in ("entry_script", "source_directory", "description")])
def test_what_still_looks_like_a_template_when_all_is_rendered_is_a_fault_that_names_it(name: str):
    with pytest.raises(ConfigError, match=rf"^{name}='\{{\{{ params.x \}}\}}'"):
        config(**{name: "{{ params.x }}"}).require_rendered()


def test_a_description_may_hold_anything_also_when_all_is_rendered():
    config(description="{{ not a template }}", environment_variables={"A": "{{ nor this }}"}).require_rendered()


def test_the_faults_of_what_is_plain_are_told_beside_templates():
    found = faults(node_count="{{ params.nodes }}", run_max_try=0, logging_level="{{ params.level }}", error_threshold=-2)
    assert [fault.partition("=")[0] for fault in found] == ["error_threshold", "run_max_try"]


def test_all_faults_of_unrendered_templates_and_of_plain_values_are_in_one_error():
    given = config(node_count="{{ a }}", run_max_try="{{ b }}", mini_batch_size="{{ c }}")
    with pytest.raises(ConfigError) as raised:
        given.require_rendered()
    assert [fault.partition("=")[0] for fault in raised.value.faults] == ["node_count", "run_max_try", "mini_batch_size"]


@pytest.mark.parametrize("value", [None, 5, "", "{ params.x }", "100 %", "}}", {"{{": 1}, ["{{ x }}"]], ids=repr)
def test_what_airflow_would_not_render_is_no_template(value: object):
    assert not is_template(value)


def test_the_output_of_a_task_may_be_a_variable_s_value_as_far_as_the_config_knows():
    assert config(environment_variables={"A": Later()}).environment_variables


def test_a_fault_of_a_variable_never_tells_its_value():
    (fault,) = faults(environment_variables={"TOKEN": "very secret\0"})
    assert "very secret" not in fault


def test_a_config_does_not_change_once_it_is_made():
    with pytest.raises(AttributeError):
        config().node_count = 5  # type: ignore[misc]
