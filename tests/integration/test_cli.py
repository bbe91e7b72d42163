"""The command line as a person uses it: reuse, resume, what it prints and where, and the commands about models and jobs."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.lab import Lab, Program
from tests.integration.leftovers import wait_until

SUMMARY_KEYS = ["job", "output", "mini_batches", "mini_batches_failed", "items", "items_succeeded", "items_failed", "rows", "attempts"]
SUMMARY_KEYS += ["nodes", "seconds", "items_per_second", "reused", "resumed"]
MINI_BATCH_OF_ONE = ("--mini-batch-size", 1)


@contextmanager
def terminal(columns: int = 200) -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: our end, and the program's."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def read_while_running(command: Program, ours: int, seconds: float = 30.0) -> str:
    """Everything that a program writes to a terminal, which has to be read while it runs."""
    shown = b""
    deadline = time.monotonic() + seconds
    while command.is_running or select.select([ours], [], [], 0)[0]:
        assert time.monotonic() < deadline, shown
        if select.select([ours], [], [], 0.05)[0]:
            shown += os.read(ours, 65536)
    return shown.decode("utf-8", "replace")


# Reuse and resume.


def test_the_same_command_again_answers_at_once_that_it_reused(lab: Lab):
    rows = lab.many(20)
    lab.variables["SECONDS"] = "1"
    first = lab.run("slow.py").summary
    again = lab.run("slow.py")
    assert again.seconds < 5  # a busy machine takes two to load us
    assert "is reused" in again.stderr
    summary = again.summary
    assert (summary["job"], summary["reused"], summary["resumed"]) == (first["job"], True, 2)
    assert {key: summary[key] for key in ("rows", "items_succeeded", "attempts", "output_sha256")} == {
        key: first[key] for key in ("rows", "items_succeeded", "attempts", "output_sha256")
    }
    assert lab.rows == rows


def test_a_reused_result_comes_into_another_output_too(lab: Lab):
    rows = lab.many(20)
    lab.run("names.py")
    lab.output = lab.root / "elsewhere"
    assert lab.run("names.py").summary["reused"]
    assert lab.rows == rows


def test_no_reuse_scores_anew_with_the_same_bytes(lab: Lab):
    lab.many(20)
    first = lab.run("names.py").summary
    again = lab.run("names.py", "--no-reuse").summary
    assert not again["reused"]
    assert again["job"] != first["job"]
    assert again["attempts"] == 2
    assert again["output_sha256"] == first["output_sha256"]


@pytest.mark.parametrize("what", ["an item", "the script", "an argument", "a variable", "the mini-batch size"])
def test_whatever_can_change_the_result_makes_another_job(lab: Lab, what: str):
    lab.many(4)
    script = lab.script("def run(items):\n    return items\n")
    first = lab.run(script).summary["job"]
    options: tuple[object, ...] = ()
    if what == "an item":
        (lab.inputs / "00002").write_bytes(b"new")
    elif what == "the script":
        lab.script("def run(items):\n    return list(items)\n")
    elif what == "an argument":
        options = ("--", "--new")
    elif what == "a variable":
        lab.variables["NEW"] = "1"
    else:
        options = ("--mini-batch-size", 3)
    summary = lab.run(script, *options).summary
    assert not summary["reused"]
    assert summary["job"] != first


def test_how_fast_and_how_strict_a_run_is_makes_no_other_job(lab: Lab):
    lab.many(4)
    lab.run("names.py")
    assert lab.run("names.py", "--processes", 3, "--timeout", 5, "--max-try", 1, "--error-threshold", 3).summary["reused"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_within_seconds_and_the_next_command_resumes(lab: Lab, number: int):
    rows = lab.many(100)
    lab.variables["SECONDS"] = "0.05"
    command = lab.start("notes_calls.py", *MINI_BATCH_OF_ONE, "--processes", 2)
    wait_until(lambda: len(lab.calls) > 20, "it works")
    interrupted = time.monotonic()
    command.send(number)
    ended = command.wait(5)
    assert time.monotonic() - interrupted < 5
    assert ended.code == 130
    assert ended.stderr.splitlines()[-1] == "batchinfer: interrupted. What is done is kept; run the same command again to resume"
    assert "Traceback" not in ended.stderr
    assert not lab.leftovers
    (job,) = lab.jobs
    done = len(lab.committed(job.name))
    # All that was settled is kept: what was called, but for what both workers were just at.
    assert done >= len(lab.calls) - 2
    calls = len(lab.calls)
    summary = lab.run("notes_calls.py", *MINI_BATCH_OF_ONE, "--processes", 2).summary
    assert summary["resumed"] == done > 0
    assert len(lab.calls) - calls == 100 - done
    assert lab.rows == rows


def test_an_interrupt_while_run_hangs_ends_it_within_seconds(lab: Lab):
    lab.many(2, poison=(0, 1))
    command = lab.start("hangs_ignoring_sigterm.py", *MINI_BATCH_OF_ONE)
    wait_until(lambda: len(command.workers()) == 2, "two workers")
    command.send(signal.SIGINT)
    assert command.wait(5).code == 130
    assert not lab.leftovers


def test_a_second_interrupt_does_no_harm(lab: Lab):
    rows = lab.many(40)
    lab.variables["SECONDS"] = "0.1"
    command = lab.start("notes_calls.py", *MINI_BATCH_OF_ONE)
    wait_until(lambda: len(lab.calls) > 4, "it works")
    command.send(signal.SIGINT)
    command.send(signal.SIGINT)
    assert command.wait(5).code in (130, -signal.SIGINT)
    wait_until(lambda: not lab.leftovers, "no process is left", 2)
    lab.run("notes_calls.py", *MINI_BATCH_OF_ONE)
    assert lab.rows == rows


# What it prints.


def test_with_json_the_last_line_of_stdout_is_the_summary_and_there_is_no_other(lab: Lab):
    lab.many(20)
    ended = lab.run("names.py")
    (line,) = ended.stdout.splitlines()
    assert list(json.loads(line))[: len(SUMMARY_KEYS)] == SUMMARY_KEYS
    assert (ended.summary["items"], ended.summary["mini_batches"], ended.summary["nodes"]) == (20, 2, 1)


def test_without_json_stdout_says_what_came_of_it_and_where_it_is(lab: Lab):
    lab.many(20)
    command = [part for part in lab.command("names.py") if part != "--json"]
    ended = lab.start_program(command).wait()
    assert re.match(r"20 items in 2 mini-batches, 20 rows, in \d+ s, [\d,]+ items/s\nresult: ", ended.stdout)
    assert ended.stdout.splitlines()[-1] == f"result: {lab.output}/parallel_run_step.txt"


def test_elsewhere_than_on_a_terminal_progress_comes_in_plain_lines(lab: Lab):
    lab.many(56)
    lab.variables["SECONDS"] = "0.1"
    ended = lab.run("slow.py", *MINI_BATCH_OF_ONE, "--processes", 1)
    lines = [line for line in ended.stderr.splitlines() if "items/s" in line]
    assert 1 <= len(lines) <= 4
    assert re.fullmatch(r"\d+ of 56 items \(\d+ %\), \d+ items/s, about \d+ s left", lines[0])
    assert "\x1b" not in ended.stderr


def test_on_a_terminal_there_is_a_bar_with_speed_and_the_time_that_is_left(lab: Lab):
    lab.many(40, poison=(7,))
    lab.variables["SECONDS"] = "0.1"
    with terminal() as (ours, theirs):
        options = (*MINI_BATCH_OF_ONE, "--processes", 2, "--max-try", 1, "--error-threshold", 1)
        command = lab.start_with_stderr(theirs, "notes_calls.py", *options)
        shown = read_while_running(command, ours)
    ended = command.wait()
    assert ended.summary["items_failed"] == 1
    assert re.search(r"\d+ of 40 items \(\d+ %\), \d+ items/s.*, about \d+ s left", shown)
    assert "1 failed" in shown
    assert "━" in shown
    assert "40 of 40 items (100 %)" in shown


def test_what_a_script_prints_stands_above_the_bar_and_its_markup_is_left_alone(lab: Lab):
    lab.many(4)
    script = lab.script("import time\ndef run(items):\n    print('[red]not red[/red] [/x]'); time.sleep(0.3); return items\n")
    with terminal() as (ours, theirs):
        command = lab.start_with_stderr(theirs, script, *MINI_BATCH_OF_ONE, "--processes", 1)
        shown = read_while_running(command, ours)
    assert command.wait().code == 0
    assert "[red]not red[/red] [/x]" in shown


def test_a_stdout_that_nobody_reads_or_that_is_closed_is_no_crash(lab: Lab):
    rows = lab.many(3)
    reading, writing = os.pipe()
    os.close(reading)
    unread = lab.start("names.py", stdout=writing)
    os.close(writing)
    assert "Error" not in unread.wait().stderr
    closed = lab.start_program(["sh", "-c", 'exec "$@" >&-', "sh", *lab.command("names.py")]).wait()
    assert "Error" not in closed.stderr
    assert lab.rows == rows


def test_help_names_the_options(lab: Lab):
    ended = lab.batchinfer("run", "--help")
    assert ended.code == 0
    for option in ("--input", "--output", "--mini-batch-size", "--error-threshold", "--model", "--side-input", "--no-reuse", "--json"):
        assert option in ended.stdout


@pytest.mark.parametrize("arguments", [(), ("walk",), ("jobs",), ("run", "x.py"), ("jobs", "prune", "--older-than", "soon")])
def test_wrong_commands_end_with_code_2_and_a_hint(lab: Lab, arguments: tuple[str, ...]):
    ended = lab.batchinfer(*arguments)
    assert ended.code == 2
    assert "--help'" in ended.stderr.splitlines()[-1]


def test_the_workspace_is_taken_from_the_environment_else_from_the_current_folder(lab: Lab):
    lab.many(2)
    command = lab.command("names.py")
    place = command.index("--workspace")
    del command[place : place + 2]
    assert lab.start_program(command, environment={"BATCHINFER_WORKSPACE": str(lab.root / "named")}).wait().code == 0
    assert (lab.root / "named" / "jobs").is_dir()
    assert lab.start_program(command).wait().code == 0
    assert (lab.root / ".batchinfer" / "jobs").is_dir()


def test_relative_paths_are_relative_to_the_current_folder(lab: Lab):
    rows = lab.many(2)
    ended = lab.run("names.py", "--input", "inputs/*", "--output", "relative", "--workspace", "there")
    assert ended.summary["output"] == str(lab.root / "relative" / "parallel_run_step.txt")
    assert (lab.root / "relative" / "parallel_run_step.txt").read_text().splitlines() == rows


# Models.


def test_models_are_registered_listed_shown_and_deleted(lab: Lab):
    def models(*arguments: object) -> str:
        ended = lab.batchinfer("models", *arguments, "--workspace", lab.workspace_url)
        assert ended.code == 0, ended.stderr
        return ended.stdout

    assert models("list") == "no models are registered\n"
    (lab.root / "weights").write_bytes(b"one")
    assert models("register", "mnist", "weights", "--tag", "stage=test", "--description", "first") == "mnist:1\n"
    assert models("register", "mnist", "weights") == "mnist:1\n"
    (lab.root / "weights").write_bytes(b"second")
    assert json.loads(models("register", "mnist", "weights", "--json"))["version"] == 2
    heads, first, second = models("list").splitlines()
    assert (heads.split()[:2], first.split()[:2], second.split()[:2]) == (["model", "bytes"], ["mnist:1", "3"], ["mnist:2", "6"])
    assert [model["version"] for model in json.loads(models("list", "--json"))] == [1, 2]
    assert json.loads(models("show", "mnist:1"))["tags"] == {"stage": "test"}
    assert json.loads(models("show", "mnist"))["version"] == 2
    assert models("delete", "mnist:2") == "deleted mnist:2\n"
    assert json.loads(models("show", "mnist:latest"))["version"] == 1
    missing = lab.batchinfer("models", "show", "mnist:2", "--workspace", lab.workspace_url)
    assert missing.code == 2
    assert "versions of mnist are: 1" in missing.stderr


# Jobs.


def test_jobs_are_listed_and_shown_with_their_failures(lab: Lab):
    lab.many(20, poison=(3,))
    job = lab.run("raises.py", "--error-threshold", -1, "--mini-batch-size", 5).summary["job"]
    listed = lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stdout.splitlines()
    assert listed[1].split()[:4] == [job, "complete", "4/4", "5"]
    told = lab.batchinfer("jobs", "show", job, "--workspace", lab.workspace_url).stdout
    assert f"job {job}: complete, 4/4 done" in told
    assert "script raises.py, 20 items in 4 mini-batches" in told
    assert "ValueError at raises.py:8" in told
    assert "ValueError: poison among 5 items" in told
    shown = json.loads(lab.batchinfer("jobs", "show", job, "--json", "--workspace", lab.workspace_url).stdout)
    assert (shown["state"], shown["mini_batches_done"], shown["counts"]["items_failed"]) == ("complete", 4, 5)
    assert [(cause["key"], cause["items"], cause["mini_batches"]) for cause in shown["causes"]] == [("ValueError at raises.py:8", 5, 1)]


def test_a_job_at_work_is_shown_as_such_and_not_deleted(lab: Lab):
    lab.many(4)
    lab.variables["SECONDS"] = "30"
    command = lab.start("slow.py")
    wait_until(command.workers, "it works")
    (job,) = lab.jobs
    listed = lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stdout
    assert listed.splitlines()[1].split()[:3] == [job.name, "working", "0/1"]
    assert "alive" in lab.batchinfer("jobs", "show", job.name, "--workspace", lab.workspace_url).stdout
    refused = lab.batchinfer("jobs", "delete", job.name, "--workspace", lab.workspace_url)
    assert refused.code == 1
    assert re.search(rf"the job {job.name} is being worked on \(node \w+, process {command.pid}\); stop it first", refused.stderr)
    assert lab.batchinfer("jobs", "prune", "--older-than", "0s", "--workspace", lab.workspace_url).stdout == "0 jobs deleted\n"
    command.send(signal.SIGINT)
    assert command.wait(5).code == 130
    assert lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stdout.splitlines()[1].split()[1] == "incomplete"
    assert lab.batchinfer("jobs", "delete", job.name, "--workspace", lab.workspace_url).stdout == f"deleted {job.name}\n"
    assert lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stdout == "no jobs\n"


def test_a_job_whose_node_was_killed_is_not_alive(lab: Lab):
    lab.many(4)
    lab.variables["SECONDS"] = "30"
    command = lab.start("slow.py")
    wait_until(command.workers, "it works")
    lab.kill(command.pid)
    command.wait()
    (job,) = lab.jobs
    assert lab.batchinfer("jobs", "delete", job.name, "--workspace", lab.workspace_url).code == 0


def test_prune_removes_old_jobs_and_leaves_young_ones(lab: Lab):
    lab.many(4)
    lab.run("names.py")
    assert lab.batchinfer("jobs", "prune", "--older-than", "1h", "--workspace", lab.workspace_url).stdout == "0 jobs deleted\n"
    assert lab.run("names.py").summary["reused"]
    pruned = lab.batchinfer("jobs", "prune", "--older-than", "0s", "--workspace", lab.workspace_url).stdout
    assert re.match(r"deleted \S+-1\n1 job", pruned)
    assert lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stdout == "no jobs\n"
    assert not lab.run("names.py").summary["reused"]


def test_a_script_that_needs_what_is_not_installed_is_told_once_and_jobs_show_says_it_again(lab: Lab):
    lab.many(3)
    ended = lab.run(lab.script("import not_there_at_all\n\ndef run(items):\n    return items\n"), "--processes", 2)
    assert ended.code == 1
    told = f"script.py:1 imports not_there_at_all, which its Python ({sys.executable}) does not have: name its package in the requirements"
    assert told in ended.stderr
    (job,) = lab.jobs
    assert told in lab.batchinfer("jobs", "show", job.name, "--workspace", lab.workspace_url).stdout
    listed = lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stdout
    assert listed.splitlines()[1].split()[:2] == [job.name, "failed"]


def test_a_job_that_merge_found_too_much_failed_of_has_failed_until_a_run_allows_that(lab: Lab):
    lab.many(10, poison=(3,))
    states = []
    for percent in (0, 50):
        lab.run("raises.py", "--mini-batch-size", 1, "--error-threshold", -1, "--max-try", 1, "--allowed-failed-percent", percent)
        states.append(lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stdout.splitlines()[1].split()[1])
    assert states == ["failed", "complete"]


def test_jobs_are_listed_with_their_scripts_the_last_one_first(lab: Lab):
    lab.many(2)
    for script in ("names.py", "raises.py"):
        lab.run(script)
    listed = lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stdout.splitlines()
    assert [line.split()[-1] for line in listed[1:]] == ["raises.py", "names.py"]


@pytest.mark.parametrize("removed", [("delete",), ("prune", "--older-than", "0s")])
def test_a_job_that_another_version_stored_is_named_left_out_and_can_be_removed(lab: Lab, removed: tuple[str, ...]):
    lab.many(4)
    lab.run("names.py")
    (job,) = lab.jobs
    stored = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps({**stored, "format": 1, "spec": {"another": "form"}}))
    told = f"the job {job.name!r} in the workspace {lab.workspace_url} is stored in format 1"
    listed = lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url)
    assert (listed.code, listed.stdout) == (0, "no jobs\n")
    shown = lab.batchinfer("jobs", "show", job.name, "--workspace", lab.workspace_url)
    assert shown.code == 1
    for ended in (listed, shown):
        assert told in ended.stderr
        assert f"remove it with `batchinfer jobs delete {job.name}`" in ended.stderr
    named = (job.name,) if removed == ("delete",) else ()
    assert f"deleted {job.name}" in lab.batchinfer("jobs", *removed, *named, "--workspace", lab.workspace_url).stdout
    assert lab.batchinfer("jobs", "list", "--workspace", lab.workspace_url).stderr == ""


def test_a_job_that_does_not_exist_is_named(lab: Lab):
    ended = lab.batchinfer("jobs", "show", "nothing-1", "--workspace", lab.workspace_url)
    assert ended.code == 2
    assert "nothing-1" in ended.stderr
