"""The trigger form: what Airflow's own Params take, and that a config takes whatever they let through."""

from typing import Any

import jsonschema
import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning.config import ParallelRunConfig

# The original's run-time parameters; its input is one only if the DAG says what it is otherwise.
RUN_TIME = (
    "mini_batch_size",
    "node_count",
    "process_count_per_node",
    "logging_level",
    "run_invocation_timeout",
    "run_max_try",
)
MOST_NODES = 1024


def resolved(**defaults: object) -> dict[str, Any]:
    """What a run gets that says nothing of its own."""
    return ParamsDict(ParallelRunConfig.params(**defaults)).validate()


def triggered(name: str, value: object) -> object:
    """What a run gets that says this of one parameter."""
    params = ParamsDict(ParallelRunConfig.params(input="x"))
    params[name] = value
    return params[name]


def test_every_run_time_parameter_is_there_and_the_input_only_when_it_is_given():
    assert tuple(ParallelRunConfig.params()) == RUN_TIME
    assert tuple(ParallelRunConfig.params(input="digits/*.png")) == ("input", *RUN_TIME)


def test_each_has_words_and_a_type_for_the_form_and_stands_where_nothing_folds_it():
    for name, param in ParallelRunConfig.params(input="x").items():
        schema = param.schema
        assert {"type", "title", "description_md"} <= set(schema), name
        assert "section" not in schema, name
        assert schema["description_md"].endswith("."), name
        jsonschema.Draft7Validator.check_schema(schema)


def test_no_two_forms_share_what_can_be_changed():
    ParallelRunConfig.params()["node_count"].schema["minimum"] = 7
    assert ParallelRunConfig.params()["node_count"].schema["minimum"] == 1


def test_the_defaults_are_the_config_s_own():
    defaults = resolved()
    config = ParallelRunConfig(entry_script="score.py", error_threshold=0)
    assert int(defaults.pop("mini_batch_size")) == config.cut(of_tables=False).size
    assert defaults == {name: getattr(config, name) for name in defaults}


def test_defaults_that_are_given_are_the_form_s():
    given = {
        "input": "dataset:digits",
        "mini_batch_size": 20,
        "node_count": 4,
        "process_count_per_node": 2,
        "logging_level": "DEBUG",
        "run_invocation_timeout": 0.5,
        "run_max_try": 1,
    }
    assert resolved(**given) == {**given, "mini_batch_size": "20"}


GOOD = {
    "input": ["a", "s3://b/*.png", "dataset:digits:3"],
    "mini_batch_size": ["1", "10", "007"],
    "node_count": [1, MOST_NODES],
    "process_count_per_node": [None, 1, 64],
    "logging_level": ["WARNING", "INFO", "DEBUG"],
    "run_invocation_timeout": [0.1, 600],
    "run_max_try": [1, 10],
}
BAD = {
    "input": ["", None, 3],
    "mini_batch_size": ["", "0", "-1", "ten", "1.5", "10kib", None],
    "node_count": [0, -1, 1.5, "2", None, MOST_NODES + 1],
    "process_count_per_node": [0, -1, "2", 1.5],
    "logging_level": ["ERROR", "info", "", None],
    "run_invocation_timeout": [0, -1, "60", None],
    "run_max_try": [0, -1, "3", None],
}


def each(values: dict[str, list[Any]]) -> pytest.MarkDecorator:
    found = [(name, value) for name, all_values in values.items() for value in all_values]
    return pytest.mark.parametrize(("name", "value"), found, ids=[f"{name}={value!r}" for name, value in found])


@each(GOOD)
def test_a_value_within_the_limits_is_taken(name: str, value: object):
    assert triggered(name, value) == value


@each(BAD)
def test_a_value_outside_the_limits_is_refused_before_anything_runs(name: str, value: object):
    with pytest.raises(ParamValidationError, match=name):
        triggered(name, value)


@each({name: [value for value in values if value is not None] for name, values in BAD.items()})
def test_a_default_outside_the_limits_is_refused_when_the_dag_is_read(name: str, value: object):
    with pytest.raises(ParamValidationError, match=name):
        resolved(**{name: value})


@given(st.fixed_dictionaries({name: st.sampled_from(GOOD[name]) for name in RUN_TIME}))
def test_what_the_form_lets_through_a_config_takes_as_a_template_renders_it(chosen: dict[str, Any]):
    rendered = {name: None if value is None else str(value) for name, value in chosen.items()}
    ParallelRunConfig(entry_script="score.py", error_threshold=0, **rendered).require_rendered()


@given(st.from_regex(r"\A\d{1,9}([kKmMgG][bB])?\Z") | st.text(max_size=6) | st.integers().map(str))
def test_a_mini_batch_size_that_the_form_takes_is_one_that_a_config_takes(size: str):
    schema = ParallelRunConfig.params()["mini_batch_size"].schema
    if jsonschema.Draft7Validator(schema).is_valid(size):
        ParallelRunConfig(entry_script="score.py", error_threshold=0, mini_batch_size=size.rstrip("\n"))


def test_unknown_names_are_refused_all_at_once_with_those_that_there_are():
    told = r"params\(error_threshold, nodes\): no such run-time parameter; there are: input, mini_batch_size, node_count"
    with pytest.raises(ConfigError, match=told):
        ParallelRunConfig.params(nodes=2, error_threshold=3)
