import json
from dataclasses import fields, replace

import pytest

from airflow_batchinfer.planning import spec as spec_module
from airflow_batchinfer.planning.cutting import cut_blocks
from airflow_batchinfer.planning.spec import Job, JobSpec

SPEC = JobSpec(
    inputs="digest of the inputs",
    tables=(),
    mini_batch_size=10,
    partition_keys=(),
    entry_script="score.py",
    source="digest of the source",
    arguments=("--labels", "{labels}"),
    models=(("mnist:3", "digest of the model"),),
    side_inputs=(("labels", "/data/labels", "digest of the labels"),),
    environment='{"installed": "digest"}',
    environment_variables=(("TOKEN", "digest of the token"),),
    appends_rows=True,
    append_row_file_name="rows.txt",
    to_csv="{}",
    include_item=False,
    isolate_failures=False,
)
OTHER = {
    "inputs": "other",
    "tables": ("{}",),
    "mini_batch_size": 11,
    "partition_keys": ("day",),
    "entry_script": "other.py",
    "source": "other",
    "arguments": ("--labels", "{label}"),
    "models": (("mnist:4", "digest of the model"),),
    "side_inputs": (("labels", "/data/labels", "other"),),
    "environment": '{"installed": "other"}',
    "environment_variables": (("TOKEN", "other"),),
    "appends_rows": False,
    "append_row_file_name": "other.txt",
    "to_csv": '{"sep": ","}',
    "include_item": True,
    "isolate_failures": True,
    "azureml_compat": "false",
    "tensorflow_v1": "true",
}
JOB = Job("name-1", SPEC, 100, 10, "plan", 2, 3, 1234.5)


def test_every_field_is_tried_below():
    assert set(OTHER) == {field.name for field in fields(JobSpec)}


@pytest.mark.parametrize("name", OTHER)
def test_whatever_can_change_results_changes_the_fingerprint(name: str):
    assert replace(SPEC, **{name: OTHER[name]}).fingerprint != SPEC.fingerprint  # type: ignore[arg-type]


def test_what_decides_for_itself_is_not_stored_so_that_jobs_of_before_stay_the_same():
    stored = json.loads(JOB.to_json())["spec"]
    assert set(stored) == {field.name for field in fields(JobSpec)} - {"azureml_compat", "tensorflow_v1"}
    assert Job.from_json(JOB.to_json()) == JOB
    switched = replace(JOB, spec=replace(SPEC, azureml_compat="true", tensorflow_v1="false"))
    assert Job.from_json(switched.to_json()) == switched


@pytest.mark.parametrize("number", [0, 1, 2])
def test_each_part_of_a_side_input_and_a_model_counts(number: int):
    side_input = tuple("other" if each == number else part for each, part in enumerate(SPEC.side_inputs[0]))
    assert replace(SPEC, side_inputs=(side_input,)).fingerprint != SPEC.fingerprint  # type: ignore[arg-type]
    if number < 2:
        model = tuple("other" if each == number else part for each, part in enumerate(SPEC.models[0]))
        assert replace(SPEC, models=(model,)).fingerprint != SPEC.fingerprint  # type: ignore[arg-type]


def test_where_one_argument_ends_and_the_next_begins_counts():
    assert replace(SPEC, arguments=("a b",)).fingerprint != replace(SPEC, arguments=("a", "b")).fingerprint


def test_the_same_specification_has_the_same_fingerprint_on_every_machine():
    assert SPEC.fingerprint == replace(SPEC).fingerprint
    assert len(SPEC.fingerprint) == 20
    assert set(SPEC.fingerprint) <= set("0123456789abcdef")


def test_another_format_makes_other_jobs(monkeypatch: pytest.MonkeyPatch):
    before = SPEC.fingerprint
    monkeypatch.setattr(spec_module, "FORMAT", spec_module.FORMAT + 1)
    assert SPEC.fingerprint != before


def test_a_job_comes_back_from_its_stored_form():
    assert Job.from_json(JOB.to_json()) == JOB


def test_a_job_with_text_that_is_not_unicode_comes_back_from_its_stored_form():
    awkward = replace(JOB, spec=replace(SPEC, arguments=("caf\udce9", 'quote " and, comma\n')))
    assert Job.from_json(awkward.to_json()) == awkward


def test_a_job_s_blocks_are_those_that_were_cut_when_it_was_planned():
    assert JOB.blocks() == cut_blocks(10, 2, 3)


@pytest.mark.parametrize(
    ("name", "result_format"),
    [
        ("rows.csv", "csv"),
        ("ROWS.JsonL", "jsonl"),
        ("a.b.parquet", "parquet"),
        ("rows.txt", "txt"),
        ("csv", "txt"),
        ("rows.csv.gz", "txt"),
        (".csv", "csv"),
    ],
)
def test_the_end_of_the_file_s_name_says_the_format(name: str, result_format: str):
    assert replace(SPEC, append_row_file_name=name).result_format == result_format
    assert replace(SPEC, append_row_file_name=name, appends_rows=False).result_format == "txt"
