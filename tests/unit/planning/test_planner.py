"""Plan on an in-memory workspace: which job a run gets, and that a job is whole or not there."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from airflow_batchinfer.datasets import FileDataset
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning.choice import Ending
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.planner import Request, RunName, plan
from airflow_batchinfer.planning.stored import end_generation, endings, load_pin, mark_complete, plan_prefix, save_pin, source_file
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import RemoteStore
from airflow_batchinfer.workspace import JobFolder, Workspace

CLEAN = Counts(mini_batches=2, items=3, rows=3, attempts=2)
FAILED = Counts(mini_batches=2, mini_batches_failed=1, items=3, items_failed=1, rows=2, attempts=4)


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}"))


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).write_text(name)
    (tmp_path / "score.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    return Request(
        config=ParallelRunConfig(entry_script=str(tmp_path / "score.py"), error_threshold=0, mini_batch_size=2, process_count_per_node=2),
        inputs=[FileDataset.from_files(str(tmp_path / "in"))],
        output_dir=str(tmp_path / "out"),
        environment=Specification(installed="python"),
    )


def with_config(request: Request, **changes: object) -> Request:
    return replace(request, config=replace(request.config, **changes))


def test_a_first_run_makes_a_job_that_is_whole(workspace: Workspace, request_: Request):
    job, pin = plan(workspace, request_)
    assert (job.items, job.mini_batches, pin.job, pin.generation, pin.reused) == (3, 2, job.name, 0, False)
    paths = list(workspace.store.find(f"jobs/{job.name}"))
    assert set(paths) == {
        JobFolder(job.name).job_file,
        source_file(job),
        f"{plan_prefix(job)}-00000.jsonl",
        f"{plan_prefix(job)}-00000.index",
    }


def test_a_second_run_joins_the_job_that_is_going_on(workspace: Workspace, request_: Request):
    first, _ = plan(workspace, replace(request_, run=RunName("dag", "monday", "score")))
    second, pin = plan(workspace, replace(request_, run=RunName("dag", "tuesday", "score")))
    assert (second, pin.generation) == (first, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"node_count": 5},
        {"process_count_per_node": 7},
        {"run_invocation_timeout": 1},
        {"run_max_try": 1},
        {"error_threshold": 5},
        {"allowed_failed_count": 5},
        {"allowed_failed_percent": 5},
        {"logging_level": "DEBUG"},
        {"description": "other words"},
    ],
    ids=str,
)
def test_how_fast_and_how_strict_a_run_is_makes_no_other_job(workspace: Workspace, request_: Request, change: dict[str, object]):
    assert plan(workspace, with_config(request_, **change))[0] == plan(workspace, request_)[0]


@pytest.mark.parametrize(
    "change",
    [
        {"mini_batch_size": 1},
        {"output_action": "summary_only"},
        {"append_row_file_name": "other.txt"},
        {"environment_variables": {"A": "1"}},
        {"environment_variables": {"A": "2"}},
    ],
    ids=str,
)
def test_what_can_change_results_makes_another_job(workspace: Workspace, request_: Request, change: dict[str, object]):
    assert plan(workspace, with_config(request_, **change))[0].name != plan(workspace, request_)[0].name


def test_a_changed_input_source_argument_model_or_side_input_makes_another_job(workspace: Workspace, request_: Request, tmp_path: Path):
    names = {plan(workspace, request_)[0].name}
    names.add(plan(workspace, replace(request_, arguments=["--x"]))[0].name)
    names.add(plan(workspace, replace(request_, models=[("m:1", "digest")]))[0].name)
    names.add(plan(workspace, replace(request_, environment=Specification(installed="other")))[0].name)
    (tmp_path / "side").write_text("1")
    side = replace(request_, side_inputs={"labels": str(tmp_path / "side")})
    names.add(plan(workspace, side)[0].name)
    (tmp_path / "side").write_text("22")
    names.add(plan(workspace, side)[0].name)
    (tmp_path / "score.py").write_text("def run(mini_batch):\n    return list(mini_batch)\n")
    names.add(plan(workspace, request_)[0].name)
    (tmp_path / "in" / "d").write_text("d")
    names.add(plan(workspace, request_)[0].name)
    assert len(names) == 8


def test_the_value_of_an_environment_variable_is_stored_nowhere(workspace: Workspace, request_: Request):
    job, pin = plan(workspace, with_config(request_, environment_variables={"TOKEN": "a very secret value"}))
    save_pin(workspace, pin)
    assert all(b"a very secret value" not in workspace.store.read(path) for path in workspace.store.find(""))
    assert "TOKEN" in dict(job.spec.environment_variables)


def test_a_complete_job_is_reused_as_its_merge_saw_it(workspace: Workspace, request_: Request):
    job, _ = plan(workspace, request_)
    end_generation(workspace.store, job.name, Ending(0, CLEAN))
    again, pin = plan(workspace, request_)
    assert (again, pin.reused, pin.generation) == (job, True, 0)


def test_without_reuse_a_retry_finds_its_job_again_and_a_new_run_gets_a_new_one(workspace: Workspace, request_: Request):
    anew = replace(request_, allow_reuse=False, run=RunName("dag", "monday", "score"))
    job, pin = plan(workspace, anew)
    save_pin(workspace, pin)
    assert plan(workspace, anew)[0] == job
    other, _ = plan(workspace, replace(anew, run=RunName("dag", "tuesday", "score")))
    assert (other.spec, other.name) == (job.spec, job.name.removesuffix("1") + "2")
    mark_complete(workspace, pin)
    assert plan(workspace, anew)[0].name == job.name.removesuffix("1") + "3"


def test_a_pin_that_was_saved_is_loaded(workspace: Workspace, request_: Request):
    _, pin = plan(workspace, request_)
    save_pin(workspace, pin)
    assert load_pin(workspace, pin.path) == pin


def test_each_generation_ends_once_however_often_it_is_said(workspace: Workspace):
    store = workspace.store
    for _ in range(3):
        end_generation(store, "job-1", Ending(0, FAILED))
    end_generation(store, "job-1", Ending(1, None))
    end_generation(store, "job-1", Ending(0, None))
    assert endings(store, "job-1") == (Ending(0, FAILED), Ending(1, None), Ending(0, None))


def test_every_fault_of_a_request_is_in_one_error(workspace: Workspace, request_: Request, tmp_path: Path):
    wrong = replace(
        with_config(request_, entry_script=str(tmp_path / "gone.py")),
        inputs=[FileDataset.from_files(str(tmp_path / "nowhere"))],
        output_dir=str(tmp_path / "nowhere" / "out"),
        side_inputs={"labels": str(tmp_path / "missing")},
    )
    with pytest.raises(ConfigError) as raised:
        plan(workspace, wrong)
    assert len(raised.value.faults) == 4
    assert list(workspace.store.find("")) == []


def test_a_glob_that_cannot_be_one_is_a_config_error(workspace: Workspace, request_: Request, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"\*\*"):
        plan(workspace, replace(request_, inputs=[FileDataset.from_files(str(tmp_path / "in" / "**.png"))]))


def test_an_empty_job_is_planned_where_it_is_allowed_and_found_again(workspace: Workspace, request_: Request, tmp_path: Path):
    nothing = replace(request_, inputs=[FileDataset.from_files(str(tmp_path / "gone"))], allow_empty=True)
    job, pin = plan(workspace, nothing)
    assert (job.items, job.mini_batches, job.blocks(), pin.reused) == (0, 0, [], False)
    assert plan(workspace, nothing)[0] == job
    end_generation(workspace.store, job.name, Ending(0, Counts()))
    assert plan(workspace, nothing)[1].reused
    with pytest.raises(ConfigError, match="gone"):
        plan(workspace, replace(nothing, allow_empty=False))


def test_whether_nothing_is_allowed_makes_no_other_job_of_something(workspace: Workspace, request_: Request):
    assert plan(workspace, replace(request_, allow_empty=True))[0] == plan(workspace, request_)[0]


@pytest.mark.parametrize("name", ["node_count", "mini_batch_size", "process_count_per_node", "append_row_file_name"])
def test_a_template_that_nobody_rendered_is_refused_before_anything_is_read(workspace: Workspace, request_: Request, name: str):
    unrendered = replace(with_config(request_, **{name: "{{ params.x }}"}), inputs=[FileDataset.from_files("/nowhere")])
    with pytest.raises(ConfigError) as raised:
        plan(workspace, unrendered)
    assert [fault.partition("=")[0] for fault in raised.value.faults] == [name]
    assert list(workspace.store.find("")) == []


def test_side_inputs_that_are_globs_are_refused_all_at_once(workspace: Workspace, request_: Request, tmp_path: Path):
    (tmp_path / "scan[1].txt").write_text("a name, not a glob")
    side_inputs = {"a": f"{tmp_path}/*.txt", "b": "s3://bucket/[ab]", "c": f"{tmp_path}/scan[1].txt"}
    with pytest.raises(ConfigError) as raised:
        plan(workspace, replace(request_, side_inputs=side_inputs))
    assert raised.value.faults == (
        f"the side input a='{tmp_path}/*.txt' is a glob: give a file or a folder",
        "the side input b='s3://bucket/[ab]' is a glob: give a file or a folder",
    )


def test_a_side_input_that_bears_the_name_of_a_glob_is_that_file(workspace: Workspace, request_: Request, tmp_path: Path):
    (tmp_path / "scan[1].txt").write_text("a name, not a glob")
    job, _ = plan(workspace, replace(request_, side_inputs={"c": f"{tmp_path}/scan[1].txt"}))
    assert [(name, url) for name, url, _ in job.spec.side_inputs] == [("c", f"{tmp_path}/scan[1].txt")]
