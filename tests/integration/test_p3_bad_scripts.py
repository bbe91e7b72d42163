"""P3: a `run()` that hangs is stopped within its timeout + 2 s; one that does anything else that is bad costs only its own
attempt; no worker outlives its node. (After every test the lab sees that no process of it is left.)"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_batchinfer.engine.merge import Summary
from airflow_batchinfer.environments.python_environment import PythonEnvironment
from tests.integration.lab import SCRIPTS, Lab
from tests.integration.leftovers import is_alive, wait_for_the_end, wait_until

SLACK_SECONDS = 2.0
FAILS = {
    "segfaults.py": "killed by SIGSEGV",
    "exits.py": "exited with code 0",
    "sys_exits.py": "SystemExit: 42",
    "killed.py": "killed by SIGKILL",
    "closes_pipes.py": "exited with code 1",
    "recurses.py": "RecursionError",
    "recurses_in_c.py": "killed by SIG",
    "raises.py": "ValueError: poison among 2 items",
    "raises_unprintable.py": "Unprintable: <its text cannot be made>",
    "raises_surrogates.py": "ValueError: a name that is not UTF-8",
    "generator_raises.py": "ValueError: poison at",
    "returns_none.py": "run() returned None",
    "returns_int.py": "run() returned a value of type int",
    "returns_string.py": "run() returned a str",
    "hangs.py": "took longer than 1 s",
    "hangs_ignoring_sigterm.py": "took longer than 1 s",
}
# What else a script may do at an item named poison.
DOES = {
    "os.closerange(3, 256); time.sleep(3600)": "closed its pipes",
    "os.kill(os.getppid(), signal.SIGKILL); time.sleep(3600)": "killed by SIGKILL",
    "os.kill(os.getppid(), signal.SIGSTOP); time.sleep(3600)": "took longer than 1 s",
    "os.kill(os.getpid(), signal.SIGSTOP)": "took longer than 1 s",
    "signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(3600)": "killed by SIGALRM",
    "write_everywhere(struct.pack('<IQ', 2, 0) + b'{}')": "nonsense",
    "write_everywhere(struct.pack('<IQ', 2, 0) + b'xx')": "nonsense",
    "write_everywhere(b'nonsense ' * 9)": "nonsense",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
    "input()": "EOFError",
    "bytearray(1 << 60)": "MemoryError",
    "raise ExceptionGroup('two', [ValueError(1), ValueError(2)])": "ExceptionGroup: two (2 sub-exceptions)",
    "return iter(lambda: 1 / 0, None)": "ZeroDivisionError",
    "return ['half a pair: \\ud83d']": "not valid Unicode",
}
DOES_NO_HARM = (
    "sys.stdout = sys.stderr = None",
    "sys.stdout.close()",
    "os.close(0)",
    "os.chdir('/')",
    "os.umask(0o777)",
    "sys.argv.clear()",
)
TEMPLATE = """
import os, signal, struct, sys, time
from pathlib import Path

def write_everywhere(text):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, text)
        except OSError:
            pass
    time.sleep(3600)

def run(mini_batch):
    if any("poison" in item for item in mini_batch):
        {what}
    return [f"{{file.name}}: {{file.stat().st_size}}" for file in map(Path, mini_batch)]
"""
SUCCEEDS = ("closes_stdout.py", "changes_directory.py", "leaves_threads.py", "prints_long_line.py")


def left_by_script(lab: Lab) -> list[int]:
    return [int(path.name) for path in lab.state.iterdir() if path.name.isdigit()]


def score_strictly(lab: Lab, script: str | Path, tries: int) -> Summary:
    """Score pairs of items with a second for each call; the one mini-batch that may fail has taken all its tries."""
    rules = {"mini_batch_size": 2, "process_count_per_node": 2, "run_max_try": tries, "run_invocation_timeout": 1, "error_threshold": 2}
    summary = lab.score(script, **rules)
    assert summary.attempts == 6 + tries
    return summary


@pytest.mark.parametrize("script", FAILS)
def test_what_a_bad_mini_batch_does_costs_only_its_own_attempts(lab: Lab, script: str):
    rows = lab.many(14, poison=(6,))
    summary = score_strictly(lab, script, 1 if "hangs" in script else 2)
    assert lab.rows == rows[:6] + rows[8:]
    assert (summary.mini_batches_failed, summary.items_failed) == (1, 2)
    (error,) = lab.errors
    assert FAILS[script] in error["reason"]
    assert [Path(item).name for item in error["items"]] == ["00006-poison", "00007"]


@pytest.mark.parametrize("what", DOES)
def test_what_a_script_does_to_itself_and_to_those_above_it_costs_only_its_own_attempts(lab: Lab, what: str):
    rows = lab.many(14, poison=(6,))
    script = lab.script(TEMPLATE.format(what=what))
    summary = score_strictly(lab, script, 1 if "took longer" in DOES[what] else 2)
    assert lab.rows == rows[:6] + rows[8:]
    assert (summary.mini_batches_failed, summary.items_failed) == (1, 2)
    assert DOES[what] in lab.errors[0]["reason"]


@pytest.mark.parametrize("what", DOES_NO_HARM)
def test_what_a_script_does_to_its_own_surroundings_costs_nothing(lab: Lab, what: str):
    rows = lab.many(6, poison=(2,))
    script = lab.script(TEMPLATE.format(what=what))
    assert lab.score(script, mini_batch_size=1, process_count_per_node=1).attempts == 6
    assert lab.rows == rows


def test_a_script_that_forks_and_returns_twice_gives_each_row_once_all_the_same(lab: Lab):
    rows = lab.many(14, poison=(3, 6))
    script = lab.script(TEMPLATE.format(what="os.fork()"))
    lab.run(script, "--mini-batch-size", 2, "--processes", 2, "--timeout", 1, "--max-try", 9)
    assert lab.rows == rows


@pytest.mark.parametrize("script", SUCCEEDS)
def test_what_a_strange_mini_batch_does_costs_nothing(lab: Lab, script: str):
    rows = lab.many(14, poison=(6,))
    assert lab.score(script, mini_batch_size=2, process_count_per_node=2).attempts == 7
    assert lab.rows == rows


def test_a_run_that_hangs_is_stopped_with_its_children_within_its_timeout_and_two_seconds(lab: Lab):
    rows = lab.many(4, poison=(0,))
    lab.variables |= {"PID_DIR": str(lab.state), "THEN": "hangs"}
    command = lab.start("forks_children.py", "--mini-batch-size", 1, "--timeout", 1, "--max-try", 1, "--error-threshold", 1)
    left = wait_until(lambda: len(left_by_script(lab)) == 2 and left_by_script(lab), "the script hangs, and has two children")
    began = max((lab.state / str(pid)).stat().st_mtime for pid in left)
    for pid in left:
        wait_for_the_end(pid, 1 + SLACK_SECONDS)
    assert 0.9 < time.time() - began < 1 + SLACK_SECONDS
    assert command.wait().code == 0
    assert lab.rows == rows[1:]


def test_a_run_that_hangs_and_ignores_every_signal_it_can_is_stopped_within_its_timeout_and_two_seconds(lab: Lab):
    lab.many(1, poison=(0,))
    options = ("--timeout", 1, "--max-try", 1, "--error-threshold", 1, "--processes", 1)
    command = lab.start("hangs_ignoring_sigterm.py", *options)
    (worker,) = wait_until(command.workers, "its worker")
    wait_for_the_end(worker, 1 + SLACK_SECONDS + 2)  # which began with a start and an init()
    ended = command.wait()
    assert ended.code == 1
    assert "took longer than 1 s" in ended.stderr


def test_every_mini_batch_may_hang_and_the_others_are_scored_meanwhile(lab: Lab):
    rows = lab.many(12, poison=range(0, 12, 3))
    options = ("--mini-batch-size", 1, "--processes", 2, "--timeout", 0.5, "--max-try", 1, "--error-threshold", 4)
    assert lab.run("hangs.py", *options).summary["items_failed"] == 4
    assert lab.rows == [row for row in rows if "poison" not in row]


@pytest.mark.parametrize("then", ["dies", "hangs", "returns"])
def test_the_children_that_an_attempt_forked_are_gone_with_its_worker(lab: Lab, then: str):
    lab.many(6, poison=(2,))
    lab.variables |= {"PID_DIR": str(lab.state), "THEN": then}
    lab.run("forks_children.py", "--mini-batch-size", 2, "--timeout", 1, "--max-try", 1, "--error-threshold", 2)
    assert len(left_by_script(lab)) == 2
    assert not [pid for pid in left_by_script(lab) if is_alive(pid)]
    assert len(lab.rows) == (6 if then == "returns" else 4)


def test_a_daemon_in_a_session_of_its_own_is_gone_with_the_worker_that_left_it(lab: Lab):
    lab.many(6, poison=(2,))
    lab.variables["PID_DIR"] = str(lab.state)
    lab.run("forks_daemon.py", "--mini-batch-size", 2, "--max-try", 2, "--error-threshold", 2)
    assert len(left_by_script(lab)) == 2
    assert not [pid for pid in left_by_script(lab) if is_alive(pid)]
    assert len(lab.rows) == 4


def test_a_script_that_prints_a_gigabyte_is_not_blocked_and_little_of_it_is_kept(lab: Lab):
    rows = lab.many(4, poison=(0,))
    ended = lab.run("prints_gigabytes.py", "--mini-batch-size", 1, "--processes", 2, "--timeout", 60)
    assert ended.summary["items_failed"] == 0
    assert lab.rows == rows
    assert len(ended.stderr) < 20_000_000
    assert 0 < sum(map(len, lab.printed().values())) < 20_000_000


def test_threads_that_a_script_leaves_do_not_hold_the_command_back(lab: Lab):
    lab.many(4)
    without = lab.run("names.py", "--no-reuse").seconds
    assert lab.run("leaves_threads.py").seconds < without + 3


@pytest.mark.parametrize("script", ["hangs.py", "hangs_ignoring_sigterm.py", "forks_children.py", "forks_daemon.py"])
def test_when_the_node_is_killed_no_worker_is_left_within_two_seconds(lab: Lab, script: str):
    lab.many(4, poison=(0, 1))
    lab.variables |= {"PID_DIR": str(lab.state), "THEN": "hangs"}
    command = lab.start(script, "--mini-batch-size", 1, "--processes", 2)
    if "forks" in script:
        wait_until(lambda: len(left_by_script(lab)) >= 2, "the script has left processes")
    else:
        wait_until(lambda: len(command.workers()) == 2, "there are two workers")
    lab.kill(command.pid)
    wait_until(lambda: not lab.leftovers, "no process is left", SLACK_SECONDS)
    assert command.wait().code == -signal.SIGKILL


def test_an_init_that_raises_ends_the_run_with_its_traceback_and_a_remedy(lab: Lab):
    lab.many(4)
    ended = lab.run("init_raises.py")
    assert ended.code == 1
    assert "model.h5 is not here" in ended.stderr
    assert 'init_raises.py", line 7, in init' in ended.stderr
    assert "Mend the script" in ended.stderr.splitlines()[-1]
    assert not lab.published


def test_an_init_that_leaves_the_process_ends_the_run_and_says_how_the_process_ended(lab: Lab):
    lab.many(4)
    ended = lab.run("init_exits.py")
    assert ended.code == 1
    assert "init() did not return: the worker process exited with code 0" in ended.stderr


def test_an_init_that_hangs_is_ended_by_an_interrupt(lab: Lab):
    lab.many(4)
    command = lab.start("init_hangs.py", "--processes", 2, "--mini-batch-size", 1)
    wait_until(lambda: len(command.workers()) == 2, "two workers hang")
    interrupted = time.monotonic()
    command.send(signal.SIGINT)
    assert command.wait(5).code == 130
    assert time.monotonic() - interrupted < 5
    assert not lab.leftovers


@pytest.mark.parametrize(("processes", "failures", "code"), [(1, 1, 0), (1, 2, 1), (2, 3, 0), (2, 4, 1)])
def test_init_may_fail_less_than_twice_per_worker_of_the_job(lab: Lab, processes: int, failures: int, code: int):
    rows = lab.many(8)
    lab.variables["FAILURES"] = str(failures)
    ended = lab.run("init_fails_sometimes.py", "--processes", processes, "--mini-batch-size", 1)
    assert ended.code == code, ended.stderr
    if code == 0:
        assert lab.rows == rows
    else:
        assert f"init() failed {failures} times" in ended.stderr


def test_a_script_without_run_is_told_so_at_once(lab: Lab):
    lab.many(4)
    ended = lab.run("no_run.py")
    assert ended.code == 1
    assert "no_run.py has no function run(mini_batch)" in ended.stderr


def test_a_script_that_is_not_python_is_told_so_with_its_line_before_anything_starts(lab: Lab):
    lab.many(4)
    script = shutil.copy(SCRIPTS / "syntax_error.py.txt", lab.root / "broken.py")
    ended = lab.run(script)
    assert ended.code == 1
    assert "broken.py is not valid Python, line 4" in ended.stderr
    assert not lab.jobs


def test_a_bare_environment_with_nothing_of_ours_runs_the_script(lab: Lab):
    rows = lab.many(6)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", lab.root / "venv"], check=True, timeout=60)
    python = lab.root / "venv" / "bin" / "python"
    has_pandas = subprocess.run([python, "-c", "import pandas"], capture_output=True, timeout=60, check=False, env={}, cwd=lab.root)
    assert has_pandas.returncode != 0
    summary = lab.score("names.py", environment=PythonEnvironment.from_interpreter(str(python)), mini_batch_size=2)
    assert lab.rows == rows
    assert summary.items_succeeded == 6


def test_the_script_runs_in_the_interpreter_that_was_asked_for(lab: Lab):
    lab.many(1)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", lab.root / "venv"], check=True, timeout=60)
    script = lab.script("import sys\ndef run(mini_batch):\n    return [sys.prefix]\n")
    lab.score(script, environment=PythonEnvironment.from_interpreter(str(lab.root / "venv" / "bin" / "python")))
    assert lab.rows == [str(lab.root / "venv")]


def test_an_attempt_that_was_killed_is_tried_again_up_to_the_limit_and_then_given_up(lab: Lab):
    lab.many(3, poison=(1,))
    lab.run("killed.py", "--mini-batch-size", 1, "--max-try", 4, "--error-threshold", 1)
    assert [error["attempts"] for error in lab.errors] == [4]


def test_an_attempt_that_fails_once_succeeds_with_the_next(lab: Lab):
    rows = lab.many(9, poison=(1, 5))
    summary = lab.run("flaky.py", "--mini-batch-size", 1).summary
    assert lab.rows == rows
    assert (summary["attempts"], summary["items_failed"]) == (11, 0)


def test_the_scratch_folder_of_a_killed_node_is_removed_by_the_next(lab: Lab):
    lab.many(4)
    lab.variables["SECONDS"] = "30"
    command = lab.start("slow.py")
    wait_until(command.workers, "it works")
    lab.kill(command.pid)
    command.wait()
    assert len(list(lab.temporary.glob("batchinfer-node-*"))) == 1
    wait_until(lambda: not lab.leftovers, "its workers are gone")
    lab.run("names.py")
    assert not list(lab.temporary.glob("batchinfer-node-*"))
    assert os.listdir(lab.temporary) in ([], ["batchinfer-gpus"])


def test_a_failure_inside_a_library_is_named_by_the_line_of_the_script_that_led_there(lab: Lab):
    lab.items("0", "1")
    script = lab.script(
        "import json\n\ndef run(items):\n    if items[0].endswith('0'):\n        json.loads('{')\n    return json.loads('[')\n"
    )
    assert lab.run(script, "--mini-batch-size", 1, "--error-threshold", -1, "--max-try", 1).code == 1
    (job,) = lab.jobs
    shown = lab.batchinfer("jobs", "show", job.name, "--workspace", lab.workspace_url).stdout
    for line in (5, 6):
        assert f"1 item in 1 mini-batch: JSONDecodeError at script.py:{line}" in shown
