"""P5: bad input gets one clear error that names the thing and the remedy; nothing half-written is ever visible in the output."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_batchinfer.engine.jobs import prune_jobs
from airflow_batchinfer.engine.node import NodeOptions
from airflow_batchinfer.engine.scoring import score
from tests.ageing import age_heartbeats, age_pins
from tests.integration.lab import SCRIPTS, Lab, row_of
from tests.integration.leftovers import wait_until

RESULT = {"parallel_run_step.txt", "_errors.jsonl", "_summary.json"}


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "grew": (lambda path: path.write_bytes(b"x" * 99), "changed since planned"),
    "rewritten with the same size": (lambda path: os.utime(path, ns=(0, 0)), "changed since planned"),
    "deleted": (lambda path: path.unlink(), "cannot be read: No such file or directory"),
    "a folder": (replace_by_folder, "changed since planned"),
    "a dangling link": (replace_by_dangling_link, "cannot be read: No such file or directory"),
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "small-disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False, timeout=30)
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk here")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True, timeout=30)


def assert_one_clear_error(stderr: str, *names: str) -> None:
    for name in names:
        assert name in stderr
    assert "Traceback" not in stderr


# Items.


@pytest.mark.parametrize("how", CHANGES)
def test_an_item_that_changed_between_plan_and_run_fails_alone(lab: Lab, how: str):
    rows = lab.many(9)
    pin = lab.begin("names.py", mini_batch_size=3, error_threshold=1)
    change, reason = CHANGES[how]
    change(lab.inputs / "00004")
    summary = score(lab.workspace, pin, NodeOptions(environment_variables=lab.variables))
    assert lab.rows == rows[:4] + rows[5:]
    assert (summary.items_failed, summary.mini_batches_failed, summary.attempts) == (1, 0, 3)
    assert [(error["items"], error["reason"]) for error in lab.errors] == [([str(lab.inputs / "00004")], reason)]


def test_a_mini_batch_of_which_no_item_is_left_fails_and_names_the_first(lab: Lab):
    rows = lab.many(9)
    pin = lab.begin("names.py", mini_batch_size=3, error_threshold=3)
    for number in (3, 4, 5):
        (lab.inputs / f"{number:05d}").unlink()
    summary = score(lab.workspace, pin, NodeOptions(environment_variables=lab.variables))
    assert lab.rows == rows[:3] + rows[6:]
    assert (summary.items_failed, summary.mini_batches_failed) == (3, 1)
    assert lab.errors[0]["reason"] == f"no item could be read; the first, {lab.inputs / '00003'}, cannot be read: No such file or directory"


def test_an_item_without_the_right_to_read_it_fails_alone(lab: Lab):
    rows = lab.many(6)
    (lab.inputs / "00002").chmod(0)
    summary = lab.run("content.py", "--error-threshold", 1, unprivileged=True).summary
    assert summary["items_failed"] == 1
    assert [row.split(":")[0] for row in lab.rows] == [row.split(":")[0] for row in rows[:2] + rows[3:]]
    assert lab.errors[0]["reason"] == "cannot be read: Permission denied"


def test_a_link_that_leads_nowhere_is_an_item_that_fails(lab: Lab):
    rows = lab.many(4)
    (lab.inputs / "00002a").symlink_to("nowhere")
    assert lab.run("names.py", "--error-threshold", 1).summary["items_failed"] == 1
    assert lab.rows == rows


def test_what_is_no_file_is_no_item(lab: Lab):
    rows = lab.many(3)
    os.mkfifo(lab.inputs / "pipe")
    assert lab.run("names.py").summary["items"] == 3
    assert lab.rows == rows


def test_awkward_file_names_come_out_as_they_are(lab: Lab):
    names = [
        b" leading and trailing ",
        b"-dash",
        b".hidden",
        b"a,b;c",
        b"back\\slash",
        b"caf\xe9-not-utf-8",
        b"doll$ar`tick`",
        b"empty",
        b"glob*[x]?",
        b"new\nline",
        b"per%20cent#hash?",
        b"quote\"and'quote",
        b"tab\there",
        b"x" * 255,
        "umläut-日本-🎉".encode(),
        b"{braces}",
    ]
    for size, name in enumerate(sorted(names)):
        (Path(os.fsdecode(os.fsencode(lab.inputs) + b"/" + name))).write_bytes(b"y" * (0 if name == b"empty" else size))
    summary = lab.run("names.py", "--mini-batch-size", 3).summary
    assert summary["items_succeeded"] == len(names)
    # In the order of the paths as Python compares them, which puts the bytes that are not UTF-8 behind all others.
    in_order = sorted(map(os.fsdecode, names))
    sizes = {os.fsdecode(name): 0 if name == b"empty" else size for size, name in enumerate(sorted(names))}
    expected = "".join(row_of(name, sizes[name]) + "\n" for name in in_order)
    assert lab.result == expected.encode("utf-8", "surrogateescape")


def test_awkward_file_names_are_told_when_they_fail(lab: Lab):
    names = ["poison new\nline", "poison \udce9 not utf-8", 'poison "quoted"']
    for name in names:
        (lab.inputs / name).write_bytes(b"x")
    lab.many(2)
    failed = lab.run("raises.py", "--mini-batch-size", 1, "--max-try", 1)
    assert failed.code == 1
    assert "ValueError: poison among 1 items" in failed.stderr
    lab.run("raises.py", "--mini-batch-size", 1, "--max-try", 1, "--error-threshold", 3)
    assert sorted(Path(error["items"][0]).name for error in lab.errors) == sorted(names)


# What is asked for.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--unknown",), "batchinfer run: unrecognized arguments: --unknown\nTry 'batchinfer run --help'"),
        (("--mini-batch", 3), "unrecognized arguments: --mini-batch 3"),
        (("--error-threshold", "many"), "error_threshold='many': give a whole number, -1 (no limit) or more"),
        (("--mini-batch-size", "0"), "mini_batch_size='0'"),
        (("--mini-batch-size", "10kb"), "mini_batch_size='10kb': a size in bytes is for tables"),
        (("--append-row-file-name", "a/b"), "append_row_file_name='a/b'"),
        (("--output-action", "both"), "output_action='both': give one of append_row, summary_only"),
        (("--timeout", "0"), "run_invocation_timeout='0': give a number of seconds above 0"),
        (("--env", "NAME"), "--env 'NAME': give NAME=VALUE"),
        (("--model", "mnist:3"), "registered are: none"),
        (("--side-input", "labels=nowhere"), "the side input labels='nowhere' does not exist"),
        (("--source-directory", "nowhere"), "source_directory='nowhere': there is no folder"),
        (("--input", "nowhere"), "the input 'nowhere' does not exist"),
        (("--input", "*.png"), "the input '*.png' matches no files"),
        (("--workspace", "http://127.0.0.1:9/w"), "http:// cannot create a file atomically"),
        (("--workspace", "nonsense://w"), "nonsense://"),
    ],
)
def test_wrong_arguments_are_told_with_their_value_and_exit_code_2(lab: Lab, options: tuple[object, ...], says: str):
    lab.many(2)
    ended = lab.run("names.py", *options)
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, says)
    assert not lab.published


def test_every_fault_of_the_arguments_is_told_at_once(lab: Lab):
    lab.many(2)
    ended = lab.run("names.py", "--error-threshold", -2, "--timeout", "soon", "--max-try", 0, "--processes", "some")
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, "error_threshold", "run_invocation_timeout", "run_max_try", "process_count_per_node")


def test_a_script_that_does_not_exist_is_named(lab: Lab):
    lab.many(2)
    ended = lab.run(lab.root / "nowhere.py")
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, f"there is no file {lab.root / 'nowhere.py'}")


def test_a_script_outside_its_source_directory_is_named(lab: Lab):
    lab.many(2)
    ended = lab.run("names.py", "--source-directory", lab.inputs)
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, "names.py", f"source_directory='{lab.inputs}'")


def test_an_empty_folder_is_an_input_that_matches_no_files(lab: Lab):
    ended = lab.run("names.py")
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, f"{str(lab.inputs)!r} matches no files")


def test_an_input_folder_without_the_right_to_read_it_is_named(lab: Lab):
    lab.items("sub/file")
    (lab.inputs / "sub").chmod(0)
    ended = lab.run("names.py", unprivileged=True)
    (lab.inputs / "sub").chmod(0o755)
    assert ended.code == 1
    assert_one_clear_error(ended.stderr, "Permission denied", str(lab.inputs / "sub"))


def test_a_folder_that_leads_back_to_itself_is_named(lab: Lab):
    lab.many(2)
    (lab.inputs / "round").symlink_to(lab.inputs)
    ended = lab.run("names.py")
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, "round", "remove the link")


@pytest.mark.parametrize("option", ["--output", "--workspace"])
@pytest.mark.parametrize("place", ["inside", "it", "through a link", "a glob"])
def test_a_folder_of_ours_inside_an_input_is_refused(lab: Lab, option: str, place: str):
    lab.many(2)
    (lab.root / "link").symlink_to(lab.inputs)
    folder = {
        "inside": lab.inputs / "deep" / "er",
        "it": lab.inputs,
        "through a link": lab.root / "link" / "deep",
        "a glob": lab.inputs / "o",
    }
    options = ("--input", lab.inputs / "**") if place == "a glob" else ()
    ended = lab.run("names.py", option, folder[place], *options)
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, str(folder[place]), "lies inside the input", "choose another folder")
    assert not list(lab.inputs.rglob("*.txt"))


# Storage.


def test_a_workspace_that_cannot_be_written_is_named_with_the_remedy(lab: Lab):
    lab.many(2)
    workspace = lab.root / "locked"
    workspace.mkdir(mode=0o555)
    ended = lab.run("names.py", "--workspace", workspace, unprivileged=True)
    assert ended.code == 2
    assert_one_clear_error(
        ended.stderr, f"the workspace {workspace} cannot be used: Permission denied", "let this user read and write there"
    )


def test_a_workspace_that_is_a_file_is_named(lab: Lab):
    lab.many(2)
    (lab.root / "file").touch()
    ended = lab.run("names.py", "--workspace", lab.root / "file")
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, str(lab.root / "file"))


def test_an_output_that_cannot_be_written_is_named_before_any_work_is_done(lab: Lab):
    lab.many(4)
    lab.output.mkdir(mode=0o555)
    ended = lab.run("names.py", unprivileged=True)
    assert ended.code == 2
    assert_one_clear_error(ended.stderr, f"Permission denied at {lab.output}", "let this user read and write there")
    assert not lab.jobs


def test_an_output_that_outgrows_what_a_file_may_hold_leaves_the_earlier_result(lab: Lab):
    lab.many(40)
    lab.variables["ROW_BYTES"] = "10"
    lab.run("big_rows.py", "--mini-batch-size", 1)
    earlier = lab.result
    lab.variables["ROW_BYTES"] = "20000"
    # No segment outgrows 256 KB, but the result does.
    limited = ["sh", "-c", 'ulimit -f 512; exec "$@"', "sh", *lab.command("big_rows.py", "--mini-batch-size", 1, "--processes", 2)]
    ended = lab.start_program(limited).wait()
    assert ended.code == 1
    assert_one_clear_error(ended.stderr, f"File too large at {lab.output}/parallel_run_step.txt")
    assert lab.result == earlier
    assert lab.published == RESULT
    lab.run("big_rows.py", "--mini-batch-size", 1, "--processes", 2)
    assert len(lab.result) == 40 * 20_001


def test_an_output_on_a_full_disk_shows_nothing_and_is_told_with_the_remedy(lab: Lab, small_disk: Path):
    lab.many(40)
    lab.output = small_disk / "output"
    lab.variables["ROW_BYTES"] = "100000"
    ended = lab.run("big_rows.py", "--mini-batch-size", 4)
    assert ended.code == 1
    assert_one_clear_error(ended.stderr, f"No space left on device at {lab.output}/parallel_run_step.txt", "free some space")
    assert not lab.published


def test_a_workspace_on_a_full_disk_is_told_with_the_remedy_and_resumed_when_there_is_space(lab: Lab, small_disk: Path):
    lab.many(40)
    lab.workspace_url = str(small_disk / "workspace")
    lab.variables["ROW_BYTES"] = "100000"
    options = ("--mini-batch-size", 1, "--processes", 2)
    ended = lab.run("big_rows.py", *options)
    assert ended.code == 1
    assert_one_clear_error(ended.stderr, "No space left on device at", "free some space")
    assert not lab.published
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True, timeout=30)
    assert lab.run("big_rows.py", *options).summary["resumed"] > 0
    assert [row.rstrip("x") for row in lab.rows] == [f"{number:05d}" for number in range(40)]


# The output.


def test_an_earlier_result_stays_until_the_new_one_is_complete(lab: Lab):
    lab.many(20)
    lab.run("names.py")
    earlier = {name: (lab.output / name).read_bytes() for name in RESULT}
    new_rows = lab.many(30)
    lab.variables["SECONDS"] = "0.2"
    command = lab.start("slow.py", "--mini-batch-size", 3)
    wait_until(command.workers, "the new run works")
    wait_until(lambda: lab.result != earlier["parallel_run_step.txt"], "the result changes")
    assert lab.rows == new_rows
    assert command.wait().code == 0
    assert lab.rows == new_rows
    assert lab.published == RESULT


def test_a_run_that_fails_leaves_the_earlier_result_as_it_is(lab: Lab):
    lab.many(20)
    lab.run("names.py")
    earlier = {name: (lab.output / name).read_bytes() for name in RESULT}
    lab.many(20, poison=(3,))
    (lab.inputs / "00003").unlink()
    assert lab.run("raises.py").code == 1
    assert {path.name: path.read_bytes() for path in lab.output.iterdir()} == earlier


def test_the_summary_in_the_output_is_what_was_printed_and_describes_the_bytes(lab: Lab):
    lab.many(20, poison=(3,))
    summary = lab.run("raises.py", "--error-threshold", 10).summary
    assert json.loads((lab.output / "_summary.json").read_text()) == summary
    assert summary["output_bytes"] == len(lab.result)
    assert summary["output"] == str(lab.output / "parallel_run_step.txt")


def test_a_script_edited_while_its_job_runs_does_not_change_the_job(lab: Lab):
    rows = lab.many(40)
    script = shutil.copy(SCRIPTS / "slow.py", lab.root / "mine.py")
    lab.variables["SECONDS"] = "0.05"
    command = lab.start(script, "--mini-batch-size", 2, "--processes", 1)
    wait_until(command.workers, "it works")
    script.write_text("broken(")
    assert command.wait().code == 0
    assert lab.rows == rows


def test_a_node_with_another_value_of_a_variable_than_planned_does_not_mix_its_rows_in(lab: Lab):
    lab.many(2)
    pin = lab.begin("names.py")
    ended = lab.start_node(pin, environment_variables={**lab.variables, "STATE_DIR": "/elsewhere"}).wait()
    assert ended.code == 1
    assert_one_clear_error(ended.stderr, "the environment variable STATE_DIR has another value than when the job was planned")
    assert lab.start_node(pin).wait().code == 0


def test_a_side_input_that_changed_since_planned_is_named_and_no_row_is_made_with_it(lab: Lab):
    lab.many(2)
    labels = lab.root / "labels"
    labels.mkdir()
    (labels / "words.txt").write_text("one")
    pin = lab.begin("names.py", side_inputs={"labels": str(labels)})
    (labels / "words.txt").write_text("another")
    ended = lab.start_node(pin).wait()
    assert ended.code == 1
    assert_one_clear_error(ended.stderr, f"the side input labels={labels} has changed since the job was planned: plan again")


def test_a_job_that_a_run_has_asked_for_lately_is_not_pruned_though_nobody_works_on_it(lab: Lab):
    lab.many(2)
    lab.score("names.py")
    (job,) = lab.jobs
    age_heartbeats(Path(lab.workspace_url), job.name, timedelta(hours=2))
    assert lab.begin("names.py").reused
    assert list(prune_jobs(lab.workspace, 3600)) == []
    age_pins(Path(lab.workspace_url), job.name, timedelta(hours=2))
    assert list(prune_jobs(lab.workspace, 3600)) == [job.name]
