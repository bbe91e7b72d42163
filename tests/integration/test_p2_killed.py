"""P2: kill -9 of any process, any number of times, at any moment: the next attempt finishes the job with the same bytes, and
redoes only what was not yet committed."""

import os
import random
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.storage.local import TEMPORARY
from tests.integration.lab import Lab, Program
from tests.integration.leftovers import wait_until

MINI_BATCHES = 160
# "Gone" means gone for the one who looks from outside, within this.
GONE_SECONDS = 2.0


def names_called(lab: Lab) -> Counter[str]:
    return Counter(line.split()[0] for line in lab.calls)


def committed_items(lab: Lab) -> set[str]:
    """The items whose mini-batches have succeeded for good; every mini-batch here is one item."""
    assert len(lab.jobs) <= 1
    return {f"{number:05d}" for job in lab.jobs for number in lab.committed(job.name)}


def visible(lab: Lab) -> set[str]:
    """A file on its way may bear a hidden name for a moment."""
    return {name for name in lab.published if not name.startswith(TEMPORARY)}


def writes_into(program: Program, folder: Path) -> bool:
    """Whether a process has a file open in a folder, also one that has no name there yet."""
    try:
        return any(
            os.readlink(f"/proc/{program.pid}/fd/{number}").startswith(f"{folder}/") for number in os.listdir(f"/proc/{program.pid}/fd")
        )
    except FileNotFoundError:
        return False


def wait_for_calls(lab: Lab, count: int) -> None:
    wait_until(lambda: len(lab.calls) >= count, f"{count} items have been called")


def calls_after_their_commit(lab: Lab, job: str) -> list[str]:
    """The calls that began when what they did was committed already: there must be none, whatever was killed."""
    committed_at = {}
    for block, log in enumerate(lab.block_logs(job)):
        for sequence, record in enumerate(log):
            path = Path(lab.workspace_url, "jobs", job, "blocks", f"{block:07d}", f"{sequence:05d}.json")
            # The link that makes a record visible sets its ctime.
            committed_at.update({f"{piece.mini_batch:05d}": path.stat().st_ctime for piece in record.pieces or () if piece.succeeded})
    calls = [line.split() for line in lab.calls]
    return [name for name, at in calls if float(at) > committed_at.get(name, float("inf"))]


def assert_each_committed_once(lab: Lab, job: str) -> None:
    pieces = [piece.mini_batch for log in lab.block_logs(job) for record in log for piece in record.pieces or ()]
    assert sorted(pieces) == list(range(len(pieces)))


class Fleet:
    """Two nodes of one run; one that ended is started again, as a scheduler does."""

    def __init__(self, lab: Lab, pin: Pin) -> None:
        self._lab = lab
        self._pin = pin
        self._tries = Counter[int]()
        self.nodes: dict[int, Program] = {}
        self.restart()

    def restart(self) -> None:
        for index in (0, 1):
            if index not in self.nodes or not self.nodes[index].is_running:
                assert index not in self.nodes or self.nodes[index].wait().code in (0, -signal.SIGKILL), self.nodes[index].stderr
                self._tries[index] += 1
                self.nodes[index] = self._lab.start_node(self._pin, map_index=index, try_number=self._tries[index])

    def processes(self, kind: str) -> list[int]:
        nodes = [node for node in self.nodes.values() if node.is_running]
        if kind == "node":
            return [node.pid for node in nodes if node.workers()]
        return [pid for node in nodes for pid in (node.keepers() if kind == "keeper" else node.workers())]

    def kill_one(self, rng: random.Random) -> None:
        """Kill one process of a kind chosen by chance, once there is one."""
        kind = rng.choice(("node", "keeper", "worker"))
        victim = rng.choice(wait_until(lambda: self.processes(kind), f"a {kind} is there to be killed"))
        self._lab.kill(victim)
        if kind == "node":
            next(node for node in self.nodes.values() if node.pid == victim).wait(GONE_SECONDS)
        self.restart()

    def finish(self) -> None:
        for node in self.nodes.values():
            assert node.wait().code == 0, node.stderr


@pytest.mark.parametrize("seed", range(3))
def test_after_kills_of_nodes_keepers_and_workers_the_bytes_are_the_same_and_nothing_committed_is_redone(lab: Lab, seed: int):
    rng = random.Random(seed)
    expected = lab.many(MINI_BATCHES)
    lab.variables["SECONDS"] = "0.05"
    pin = lab.begin("notes_calls.py", mini_batch_size=1, node_count=2, process_count_per_node=2, run_max_try=100)
    fleet = Fleet(lab, pin)
    for kill in range(13):
        reached = min(MINI_BATCHES // 2, kill * 6 + rng.randint(1, 6))
        wait_for_calls(lab, reached)
        fleet.kill_one(rng)
    fleet.finish()
    lab.merge(pin)
    assert lab.rows == expected
    assert calls_after_their_commit(lab, pin.job) == []
    assert_each_committed_once(lab, pin.job)


def test_the_command_killed_again_and_again_resumes_each_time_with_what_was_committed(lab: Lab):
    rng = random.Random(3)
    expected = lab.many(MINI_BATCHES)
    lab.variables["SECONDS"] = "0.02"
    options = ("notes_calls.py", "--mini-batch-size", 1, "--processes", 3)
    done: set[str] = set()
    for _ in range(6):
        command = lab.start(*options)
        wait_until(lambda done=done: len(committed_items(lab)) > len(done), "something new is committed")
        wait_for_calls(lab, len(lab.calls) + rng.randint(0, 5))
        lab.kill(command.pid)
        assert command.wait().code == -signal.SIGKILL
        wait_until(lambda: not lab.leftovers, "its workers are gone", GONE_SECONDS)
        assert not lab.published
        assert done < committed_items(lab)
        done = committed_items(lab)
        assert done == committed_items(lab)
    before = names_called(lab)
    summary = lab.run(*options).summary
    assert summary["resumed"] == len(done)
    assert lab.rows == expected
    assert names_called(lab) - before == Counter({f"{number:05d}" for number in range(MINI_BATCHES)} - done)
    assert calls_after_their_commit(lab, summary["job"]) == []


def test_a_command_killed_at_any_moment_from_its_start_to_its_end_loses_nothing(lab: Lab):
    rng = random.Random(4)
    expected = lab.many(30)
    options = ("names.py", "--mini-batch-size", 3, "--no-reuse")
    whole = lab.run(*options).seconds
    for _ in range(12):
        command = lab.start(*options)
        threading.Event().wait(rng.uniform(0.3 * whole, whole))
        lab.kill(command.pid)
        command.wait()
        wait_until(lambda: not lab.leftovers, "its workers are gone", GONE_SECONDS)
        assert lab.rows == expected
        assert visible(lab) <= {"parallel_run_step.txt", "_errors.jsonl", "_summary.json"}
    assert lab.run(*options).code == 0
    assert lab.rows == expected
    assert not list(lab.temporary.glob("batchinfer-node-*"))


def test_a_command_killed_in_its_merge_shows_nothing_and_the_next_one_only_merges(lab: Lab):
    lab.many(60)
    lab.variables["ROW_BYTES"] = "2000000"
    command = lab.start("big_rows.py", "--mini-batch-size", 3)
    wait_until(lambda: writes_into(command, lab.output), "the merge has begun", 60)
    lab.kill(command.pid)
    assert command.wait().code == -signal.SIGKILL
    assert not visible(lab)
    summary = lab.run("big_rows.py", "--mini-batch-size", 3).summary
    assert summary["resumed"] == summary["mini_batches"] == 20
    assert (lab.output / "parallel_run_step.txt").stat().st_size == 60 * 2_000_001


def test_rows_of_a_node_that_was_stopped_and_taken_over_are_dropped_when_it_wakes(lab: Lab):
    lab.items("0", "1", "2-gate", "3", "4", "5")
    variables = {"A": {"GATE": str(lab.root / "gate"), "MARK": "A"}, "B": {"GATE": str(lab.root), "MARK": "B"}}
    pin = lab.begin("waits_for_gate.py", mini_batch_size=1, process_count_per_node=1)
    zombie = lab.start_node(pin, environment_variables={**lab.variables, **variables["A"]}, name="A")
    wait_until(lambda: "2-gate" in lab.calls, "the first node waits at the gate with two rows that it has not committed")
    tree = zombie.tree()
    for pid in tree:
        lab.kill(pid, signal.SIGSTOP)
    # The next try of the same place in the run knows at once that the first is over.
    second = lab.start_node(pin, environment_variables={**lab.variables, **variables["B"]}, try_number=2, name="B")
    assert second.wait().code == 0, second.stderr
    (lab.root / "gate").touch()
    for pid in tree:
        lab.kill(pid, signal.SIGCONT)
    assert zombie.wait().code == 0, zombie.stderr
    lab.merge(pin)
    assert lab.rows == ["0: 1 B", "1: 2 B", "2-gate: 3 B", "3: 4 B", "4: 5 B", "5: 6 B"]
    assert max(Counter(lab.calls).values()) == 2
    first_block = lab.block_logs(pin.job)[0]
    assert [(record.node, record.pieces is None) for record in first_block] == [("A", True), ("B", True), ("B", False)]


@pytest.mark.slow
def test_a_node_that_is_silent_for_thirty_seconds_is_taken_over_and_its_rows_are_dropped_when_it_wakes(lab: Lab):
    lab.items("0", "1-gate", "2", "3")
    variables = {"A": {"GATE": str(lab.root / "gate"), "MARK": "A"}, "B": {"GATE": str(lab.root), "MARK": "B"}}
    pin = lab.begin("waits_for_gate.py", mini_batch_size=1, process_count_per_node=1)
    zombie = lab.start_node(pin, environment_variables={**lab.variables, **variables["A"]}, map_index=0)
    wait_until(lambda: "1-gate" in lab.calls, "the first node waits at the gate")
    tree = zombie.tree()
    for pid in tree:
        lab.kill(pid, signal.SIGSTOP)
    other = lab.start_node(pin, environment_variables={**lab.variables, **variables["B"]}, map_index=1)
    ended = other.wait(60)
    assert ended.code == 0, ended.stderr
    assert 28 < ended.seconds < 45
    (lab.root / "gate").touch()
    for pid in tree:
        lab.kill(pid, signal.SIGCONT)
    assert zombie.wait().code == 0, zombie.stderr
    lab.merge(pin)
    assert lab.rows == ["0: 1 B", "1-gate: 2 B", "2: 3 B", "3: 4 B"]


def test_a_job_whose_nodes_were_all_killed_is_resumed_with_other_node_and_process_counts(lab: Lab):
    expected = lab.many(MINI_BATCHES)
    lab.variables["SECONDS"] = "0.02"
    first = lab.begin("notes_calls.py", mini_batch_size=1, node_count=2, process_count_per_node=2)
    nodes = [lab.start_node(first, map_index=index) for index in range(2)]
    wait_until(lambda: len(committed_items(lab)) > 20, "something is committed")
    for node in nodes:
        lab.kill(node.pid)
        node.wait()
    wait_until(lambda: not lab.leftovers, "their workers are gone", GONE_SECONDS)
    done, before = committed_items(lab), names_called(lab)
    second = lab.begin("notes_calls.py", mini_batch_size=1, node_count=3, process_count_per_node=1)
    assert (second.job, second.resumed, second.reused) == (first.job, len(done), False)
    for node in [lab.start_node(second, map_index=index) for index in range(3)]:
        assert node.wait().code == 0, node.stderr
    assert lab.merge(second).resumed == len(done)
    assert lab.rows == expected
    assert names_called(lab) - before == Counter({f"{number:05d}" for number in range(MINI_BATCHES)} - done)


def test_four_nodes_that_race_for_a_thousand_blocks_do_each_mini_batch_once(lab: Lab):
    expected = lab.many(1000)
    # A block is one mini-batch, since this many nodes would share them.
    pin = lab.begin("notes_calls.py", mini_batch_size=1, node_count=600, process_count_per_node=1)
    nodes = [lab.start_node(pin, map_index=index) for index in range(4)]
    for node in nodes:
        assert node.wait(120).code == 0, node.stderr
    assert len(lab.block_logs(pin.job)) == 1000
    summary = lab.merge(pin)
    assert lab.rows == expected
    assert set(names_called(lab).values()) == {1}
    assert summary.attempts == 1000
    assert summary.nodes == 4
    assert_each_committed_once(lab, pin.job)


def test_two_runs_of_one_job_at_once_share_its_work_and_both_get_the_result(lab: Lab):
    expected = lab.many(MINI_BATCHES)
    lab.variables["SECONDS"] = "0.03"
    outputs = [lab.root / "one", lab.root / "two"]
    options = ("--mini-batch-size", 1, "--processes", 2)
    runs = [lab.start("notes_calls.py", "--output", output, *options) for output in outputs]
    summaries = [run.wait().summary for run in runs]
    assert summaries[0]["job"] == summaries[1]["job"]
    assert [summary["nodes"] for summary in summaries] == [2, 2]
    assert {(output / "parallel_run_step.txt").read_text() for output in outputs} == {"\n".join(expected) + "\n"}
    assert set(names_called(lab).values()) == {1}


def test_a_failed_night_is_resumed_by_another_run_that_tries_only_its_failures_again(lab: Lab):
    expected = lab.many(30, poison=(4, 17))
    strict = ("notes_calls.py", "--mini-batch-size", 1, "--error-threshold", -1, "--allowed-failed-percent", 0, "--max-try", 2)
    night = lab.run(*strict, "--output", lab.root / "night")
    assert night.code == 1
    assert "2 of 30 mini-batches failed" in night.stderr
    assert not (lab.root / "night" / "parallel_run_step.txt").exists()
    before = names_called(lab)
    assert before["00004-poison"] == before["00017-poison"] == 2
    (lab.state / "mended").touch()
    summary = lab.run(*strict).summary
    assert (summary["resumed"], summary["items_failed"], summary["reused"]) == (28, 0, False)
    assert lab.rows == expected
    assert names_called(lab) - before == Counter(["00004-poison", "00017-poison"])


def test_a_failure_binds_for_the_next_attempt_of_the_same_run(lab: Lab):
    lab.many(60, poison=(0,))
    lab.variables["SECONDS"] = "0.05"
    options = ("notes_calls.py", "--mini-batch-size", 1, "--error-threshold", 1, "--max-try", 1, "--processes", 2)
    command = lab.start(*options)
    wait_until(
        lambda: any(record.pieces for job in lab.jobs for log in lab.block_logs(job.name) for record in log),
        "the failure is committed",
    )
    lab.kill(command.pid)
    command.wait()
    summary = lab.run(*options).summary
    assert summary["items_failed"] == 1
    assert names_called(lab)["00000-poison"] == 1
