"""What its save_to_yaml writes ours reads, what ours writes its load_yaml reads, and both mean the same.

Drawn at random, the same on every run. What cannot be the same is named here, each with a test of its own.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_batchinfer import ComputeTarget, ParallelRunConfig, PythonEnvironment
from airflow_batchinfer.planning.sizes import bytes_of
from tests.oracles.asking import Original, Parameter

pytestmark = pytest.mark.oracles
Arguments = Mapping[str, Any]
FEWER = settings(max_examples=100)
# Text that one version of YAML or another takes for something else, and text that must be quoted.
AWKWARD = [
    *(
        "on",
        "off",
        "yes",
        "No",
        "y",
        "true",
        "null",
        "~",
        "",
        " ",
        "010",
        "0o17",
        "0x1F",
        "1e3",
        "1_000",
        "12:30:45",
        "2026-11-21",
        ".5",
        "=",
        "<<",
    ),
    *(
        "a: b",
        "# c",
        "- d",
        "{e}",
        "[f]",
        "'g'",
        '"h"',
        "&i",
        "*j",
        "!k",
        "%l",
        "@m",
        "`n",
        "o\np",
        " q",
        "r ",
        "ümläut",
        "\U0001f600",
        "s\tt",
        "|",
    ),
]
# Without control characters: PyYAML's scanner takes one of them, U+0085, for a line end, as YAML 1.1 has it.
words = st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=("Cs", "Cc"), max_codepoint=0x2FF), max_size=12)
names = st.sampled_from([word for word in AWKWARD if word.strip() and "\n" not in word])
variables = st.dictionaries(st.sampled_from(["A", "FLAG", "no", "1", "TIME"]), words, max_size=3)
counts = st.integers(1, 10)
common = {
    "entry_script": names.map(str.strip),
    "error_threshold": st.integers(-1, 10**6),
    "output_action": st.sampled_from(["append_row", "Summary_Only"]),
    "node_count": counts,
    "process_count_per_node": st.none() | counts,
    "source_directory": st.none() | names,
    "description": st.none() | words,
    "logging_level": st.none() | st.sampled_from(["WARNING", "INFO", "debug"]),
    "run_invocation_timeout": st.none() | st.integers(1, 10**5) | st.sampled_from([0.5, 1e-5, 1e17]),
    "run_max_try": st.none() | counts,
    "append_row_file_name": st.none() | st.sampled_from(["rows.txt", "Rows Of Today", "on", "1e3", "12", "0o17", "ümläut"]),
    "environment_variables": st.none() | variables,
}
thresholds = {
    "allowed_failed_count": st.none() | st.integers(-1, 100),
    "allowed_failed_percent": st.none() | st.integers(0, 100) | st.sampled_from([0.5, 99.9]),
}
sizes = st.fixed_dictionaries({"mini_batch_size": st.none() | counts | st.sampled_from(["5", "010", "10kb", "3MB"])})
partitions = st.fixed_dictionaries({"partition_keys": st.lists(names, min_size=1, max_size=3, unique=True)})


packages = st.sampled_from(["on", "1e3", "six==1.17.0", "numpy>=2 ; python_version > '3'", "--no-index", "{{ params.package }}"])
environments = st.none() | st.builds(PythonEnvironment, requirements=st.lists(packages, max_size=2), python=st.none() | st.just("3.11"))


def drawn(**arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda one, other: {**one, **other}, st.fixed_dictionaries(arguments), sizes | partitions)


def meaning(says: Arguments) -> dict[str, Any]:
    """What either understood, put alike: sizes are numbers, None is the default."""
    size = says["mini_batch_size"]
    appends = says["output_action"].lower() == "append_row"
    return {
        **says,
        "mini_batch_size": None if size is None else bytes_of(str(size)),
        "output_action": says["output_action"].lower(),
        "logging_level": (says["logging_level"] or "INFO").upper(),
        "append_row_file_name": (says["append_row_file_name"] or "parallel_run_step.txt") if appends else None,
        "partition_keys": list(says["partition_keys"] or []),
        "environment_variables": dict(says["environment_variables"] or {}),
    }


def ours(config: ParallelRunConfig, like: Arguments) -> dict[str, Any]:
    return {name: getattr(config, name) for name in like}


def read(text: str, **instead: object) -> ParallelRunConfig:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Azure's environment and cluster
        path = Path(folder, "config.yml")
        path.write_text(text, "utf-8")
        return ParallelRunConfig.from_yaml(path, **instead)


def written(config: ParallelRunConfig) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.yml")
        config.to_yaml(path)
        return path.read_text("utf-8")


@FEWER
@given(drawn(**common))
def test_what_its_save_to_yaml_writes_is_read_here_and_means_the_same(original: Original, arguments: Arguments):
    says, text = original.save(arguments)
    assert meaning(ours(read(text), says)) == meaning(says)


@FEWER
@given(drawn(**common, **thresholds), st.none() | st.builds(ComputeTarget, queue=names, pool=st.none() | names), environments)
def test_what_is_written_here_its_load_yaml_reads_and_means_the_same(
    original: Original, arguments: Arguments, target: ComputeTarget | None, environment: PythonEnvironment | None
):
    config = ParallelRunConfig(**arguments, compute_target=target, environment=environment)
    found = original.load(written(config))
    assert meaning(found["says"]) == meaning(ours(config, found["says"]))
    assert found["cluster"] == (target.queue if target else "default_pool")
    assert found["environment"] == "airflow"
    assert read(written(config)) == config


@FEWER
@given(drawn(**common))
def test_there_and_back_again_nothing_is_lost(original: Original, arguments: Arguments):
    _, theirs = original.save(arguments)
    says = original.load(theirs)["says"]
    assert meaning(original.load(written(read(theirs)))["says"]) == meaning(says)


def test_a_pipeline_parameter_is_written_as_its_default_and_read_so(original: Original):
    asked = {"mini_batch_size": "7", "node_count": 3, "run_max_try": 2, "partition_keys": None}
    given = {name: value and Parameter(value) for name, value in asked.items()}
    _, text = original.save({"entry_script": "score.py", "error_threshold": 1, "output_action": "append_row", **given})
    config = read(text)
    assert (bytes_of(str(config.mini_batch_size)), config.node_count, config.run_max_try) == (7, 3, 2)


def test_partition_keys_of_a_pipeline_parameter_are_read_as_the_list_that_they_are(original: Original):
    keys = Parameter(json.dumps(["store", "day"]))
    _, text = original.save(
        {"entry_script": "score.py", "error_threshold": 1, "output_action": "append_row", "node_count": 1, "partition_keys": keys}
    )
    assert read(text).partition_keys == ["store", "day"]


def test_the_original_s_file_lacks_the_two_thresholds_of_mini_batches_and_ours_has_them(original: Original):
    arguments: dict[str, Any] = {"entry_script": "score.py", "error_threshold": 1, "output_action": "append_row", "node_count": 1}
    arguments |= {"allowed_failed_count": 3, "allowed_failed_percent": 5.5}
    _, theirs = original.save(arguments)
    assert "allowed_failed" not in theirs
    assert (read(theirs).allowed_failed_count, read(theirs).allowed_failed_percent) == (None, None)
    says = original.load(written(ParallelRunConfig(**arguments)))["says"]
    assert (says["allowed_failed_count"], says["allowed_failed_percent"]) == (3, 5.5)


def test_what_came_as_text_is_written_as_the_number_that_the_original_wants(original: Original):
    config = ParallelRunConfig(entry_script="score.py", error_threshold="10", node_count="2", run_max_try="4", allowed_failed_percent="5")
    says = original.load(written(config))["says"]
    assert (says["error_threshold"], says["node_count"], says["run_max_try"], says["allowed_failed_percent"]) == (10, 2, 4, 5.0)
