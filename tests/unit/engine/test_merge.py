"""Merge over what nodes have committed, in a workspace and an output folder that are both in memory."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import fsspec
import pytest

from airflow_batchinfer.datasets import FileDataset
from airflow_batchinfer.engine.blocks import Blocks
from airflow_batchinfer.engine.heartbeats import Pulse, own_heartbeat
from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.merge import Summary, merge
from airflow_batchinfer.engine.node import NodeOptions
from airflow_batchinfer.engine.outputs import Settled, error_line, write_segment
from airflow_batchinfer.engine.scoring import begin, score
from airflow_batchinfer.environments.specification import Specification
from airflow_batchinfer.errors import ConfigError, ConflictError, ErrorBudgetSpent, StorageError, UserError, WorkersUnavailable
from airflow_batchinfer.planning.choice import Ending
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.planner import Request, plan
from airflow_batchinfer.planning.spec import Job
from airflow_batchinfer.planning.stored import endings, load_job, load_pin, save_pin
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import RemoteStore
from airflow_batchinfer.workspace import JobFolder, Workspace

ROWS = {number: f"row {number}\n".encode() for number in range(7)}


def ok(number: int, rows: bytes | None = None, header_bytes: int = 0) -> Settled:
    text = ROWS[number] if rows is None else rows
    return Settled(number, succeeded=True, counts=Counts(1, 0, 1, 0, 1, 1), rows=text, header_bytes=header_bytes)


def bad(number: int, reason: str = "ValueError: no") -> Settled:
    errors = error_line(number, [f"/in/{number}"], 3, Failed(reason, "ValueError at score.py:3", f"Traceback\n{reason}\n"))
    return Settled(number, succeeded=False, counts=Counts(1, 1, 1, 1, 0, 3), errors=errors)


@dataclass
class Desk:
    """A planned job of seven mini-batches of one item each, in blocks of two."""

    workspace: Workspace
    job: Job
    pin: Pin
    output: RemoteStore

    @property
    def folder(self) -> JobFolder:
        return JobFolder(self.job.name)

    def commit(self, settled: dict[int, Settled], *, node: str = "node", generation: int = 0, at_once: int = 9) -> None:
        """A node does this to every block that it gets."""
        store = self.workspace.store
        blocks = Blocks(store, self.folder, self.job.blocks(), generation, node)
        blocks.refresh()
        while claim := blocks.claim(lambda _: True):
            todo = [settled[number] for number in claim.todo if number in settled]
            for start in range(0, len(todo), at_once):
                segment, pieces = write_segment(store, self.folder, node, todo[start : start + at_once])
                assert blocks.commit(claim.block, claim.claim_id, segment, pieces)

    def read(self, name: str) -> bytes:
        return self.output.read(name)

    def published(self) -> list[str]:
        return list(self.output.find(""))

    def allow(self, **thresholds: float) -> Pin:
        rules = replace(self.pin.rules, thresholds=replace(self.pin.rules.thresholds, **thresholds))
        return replace(self.pin, rules=rules)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("BATCHINFER_GPUS", "")  # nobody here has to ask for any
    return make_desk(tmp_path)


def make_desk(tmp_path: Path, **config: object) -> Desk:
    (tmp_path / "in").mkdir()
    for number in ROWS:
        (tmp_path / "in" / str(number)).write_text("x")
    (tmp_path / "score.py").write_text("def run(mini_batch):\n    return mini_batch\n")
    root = uuid4().hex
    workspace = Workspace(RemoteStore(fsspec.filesystem("memory"), f"/{root}/workspace"))
    given = {"entry_script": str(tmp_path / "score.py"), "error_threshold": 0, "mini_batch_size": 1, "process_count_per_node": 2, **config}
    request = Request(
        config=ParallelRunConfig(**given),  # type: ignore[arg-type]
        inputs=[FileDataset.from_files(str(tmp_path / "in"))],
        output_dir=f"memory://{root}/output",
        environment=Specification(installed="python"),
    )
    job, pin = plan(workspace, request)
    save_pin(workspace, pin)
    return Desk(workspace, job, pin, RemoteStore(fsspec.filesystem("memory"), f"/{root}/output"))


def test_the_rows_come_out_in_the_order_of_the_inputs_whoever_made_them(desk: Desk):
    desk.commit({number: ok(number) for number in (0, 2, 3, 5)}, node="first", at_once=1)
    desk.commit({number: ok(number) for number in ROWS}, node="second")
    summary = merge(desk.workspace, desk.pin)
    assert desk.read("parallel_run_step.txt") == b"".join(ROWS.values())
    assert desk.read("_errors.jsonl") == b""
    assert (summary.rows, summary.items, summary.mini_batches, summary.nodes) == (7, 7, 7, 2)


def test_the_summary_says_where_the_result_is_and_what_is_in_it(desk: Desk):
    desk.commit({number: ok(number) for number in ROWS})
    summary = merge(desk.workspace, desk.pin)
    content = desk.read("parallel_run_step.txt")
    assert json.loads(desk.read("_summary.json")) == asdict(summary)
    assert summary.output == f"{desk.pin.output_dir}/parallel_run_step.txt"
    assert (summary.output_bytes, summary.output_sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (summary.job, summary.reused, summary.resumed) == (desk.job.name, False, 0)


def test_merging_again_gives_the_same_bytes_and_ends_nothing_anew(desk: Desk):
    desk.commit({number: ok(number) if number != 3 else bad(3) for number in ROWS})
    pin = desk.allow(error_threshold=1)
    outcomes = []
    for _ in range(3):
        summary = merge(desk.workspace, pin)
        outcomes.append((replace(summary, seconds=0, items_per_second=0), desk.read("parallel_run_step.txt"), desk.read("_errors.jsonl")))
    assert outcomes == outcomes[:1] * 3
    assert len(endings(desk.workspace.store, desk.job.name)) == 1
    assert load_pin(desk.workspace, pin.path).complete


def test_failures_within_the_thresholds_are_listed_with_all_that_is_known(desk: Desk):
    desk.commit({number: bad(number) if number in (2, 5) else ok(number) for number in ROWS})
    summary = merge(desk.workspace, desk.allow(error_threshold=2))
    errors = [json.loads(line) for line in desk.read("_errors.jsonl").splitlines()]
    assert [(error["mini_batch"], error["items"], error["attempts"]) for error in errors] == [(2, ["/in/2"], 3), (5, ["/in/5"], 3)]
    assert desk.read("parallel_run_step.txt") == b"".join(text for number, text in ROWS.items() if number not in (2, 5))
    assert (summary.items_failed, summary.items_succeeded, summary.mini_batches_failed) == (2, 5, 2)


def test_a_mini_batch_without_an_outcome_fails_the_merge_and_publishes_nothing(desk: Desk):
    desk.commit({number: ok(number) for number in ROWS if number != 4})
    with pytest.raises(
        WorkersUnavailable, match=r"1 of 2 mini-batches of block 2 have no outcome: nodes were lost. Run it again to resume"
    ):
        merge(desk.workspace, desk.pin)
    assert desk.published() == []
    assert endings(desk.workspace.store, desk.job.name) == ()
    desk.commit({4: ok(4)}, node="later")
    assert merge(desk.workspace, desk.pin).rows == 7


def test_a_spent_budget_fails_the_merge_with_the_commonest_failure_and_publishes_nothing(desk: Desk):
    desk.commit({number: bad(number) if number in (2, 5) else ok(number) for number in ROWS})
    with pytest.raises(ErrorBudgetSpent) as raised:
        merge(desk.workspace, desk.allow(error_threshold=1))
    told = str(raised.value)
    assert "2 items failed, more than error_threshold=1 allows" in told
    assert "ValueError at score.py:3: this cost 2 items in 2 mini-batches, first /in/2" in told
    assert "What to do:" in told
    assert desk.published() == []
    assert endings(desk.workspace.store, desk.job.name) == (Ending(0, Counts(7, 2, 7, 2, 5, 11)),)
    assert not load_pin(desk.workspace, desk.pin.path).complete


def test_the_percent_is_judged_by_the_merge(desk: Desk):
    desk.commit({number: bad(number) if number == 2 else ok(number) for number in ROWS})
    with pytest.raises(ErrorBudgetSpent, match="1 of 7 mini-batches failed, more than allowed_failed_percent=14 allows"):
        merge(desk.workspace, desk.allow(error_threshold=-1, allowed_failed_percent=14))
    assert merge(desk.workspace, desk.allow(error_threshold=-1, allowed_failed_percent=15)).mini_batches_failed == 1


def test_without_a_single_success_there_is_no_result(desk: Desk):
    desk.commit({number: bad(number) for number in ROWS})
    with pytest.raises(ErrorBudgetSpent, match="not one of 7 items succeeded"):
        merge(desk.workspace, desk.allow(error_threshold=-1))
    assert desk.published() == []


def test_a_merge_that_fails_leaves_an_earlier_result_in_its_place(desk: Desk):
    for name in ("parallel_run_step.txt", "_errors.jsonl", "_summary.json"):
        desk.output.create(name, b"of yesterday")
    desk.commit({number: bad(number) for number in ROWS})
    with pytest.raises(ErrorBudgetSpent):
        merge(desk.workspace, desk.pin)
    assert {desk.read(name) for name in desk.published()} == {b"of yesterday"}


def test_a_later_generation_sees_only_its_own_failures(desk: Desk):
    desk.commit({number: bad(number, "first") if number in (2, 5) else ok(number) for number in ROWS})
    desk.commit({2: ok(2), 5: bad(5, "second")}, node="later", generation=1)
    summary = merge(desk.workspace, replace(desk.allow(error_threshold=1), generation=1))
    assert desk.read("_errors.jsonl").count(b"second") > 0
    assert b"first" not in desk.read("_errors.jsonl")
    assert (summary.items_failed, summary.rows) == (1, 6)


def test_the_header_of_frames_comes_once(desk: Desk):
    desk.commit({number: ok(number, b"head\n" + ROWS[number], header_bytes=5) for number in ROWS})
    merge(desk.workspace, desk.pin)
    assert desk.read("parallel_run_step.txt") == b"head\n" + b"".join(ROWS.values())


def test_an_empty_result_is_an_empty_file(desk: Desk):
    desk.commit({number: ok(number, b"") for number in ROWS})
    assert merge(desk.workspace, desk.pin).output_bytes == 0
    assert desk.read("parallel_run_step.txt") == b""


def test_under_summary_only_there_is_no_file_of_rows_but_those_that_the_script_wrote(tmp_path: Path):
    desk = make_desk(tmp_path, output_action="summary_only")
    desk.commit({number: ok(number, b"") for number in ROWS})
    for path in ("node-0/a.txt", "node-1/deep/b.txt"):
        desk.workspace.store.create(f"{desk.folder.files}/{path}", path.encode())
    summary = merge(desk.workspace, desk.pin)
    assert summary.output == desk.pin.output_dir
    assert desk.published() == ["_errors.jsonl", "_summary.json", "a.txt", "deep/b.txt"]


@pytest.mark.parametrize("name", ["_errors.jsonl", "_summary.json", "parallel_run_step.txt"])
def test_a_file_of_the_script_that_bears_a_name_of_ours_is_a_conflict(desk: Desk, name: str):
    desk.commit({number: ok(number) for number in ROWS})
    desk.workspace.store.create(f"{desk.folder.files}/shared/{name}", b"x")
    with pytest.raises(ConflictError, match=name):
        merge(desk.workspace, desk.pin)
    assert desk.published() == []


def test_one_name_with_two_contents_from_two_workers_is_a_conflict_that_names_both(desk: Desk):
    desk.commit({number: ok(number) for number in ROWS})
    desk.workspace.store.create(f"{desk.folder.files}/n-0/same.txt", b"same")
    desk.workspace.store.create(f"{desk.folder.files}/n-1/same.txt", b"same")
    assert merge(desk.workspace, desk.pin).rows == 7
    desk.workspace.store.create(f"{desk.folder.files}/n-0/other.txt", b"one")
    desk.workspace.store.create(f"{desk.folder.files}/n-1/other.txt", b"two")
    with pytest.raises(ConflictError, match=r"two workers, n-0 and n-1, wrote different files named 'other.txt'"):
        merge(desk.workspace, desk.pin)


def test_a_reused_job_is_shown_again_and_says_so(desk: Desk):
    desk.commit({number: ok(number) for number in ROWS})
    merge(desk.workspace, desk.pin)
    summary = merge(desk.workspace, replace(desk.pin, reused=True, output_dir=f"{desk.pin.output_dir}-2"))
    assert (summary.reused, summary.resumed, summary.items_per_second, summary.rows) == (True, 7, 0.0, 7)


class Breaking(RemoteStore):
    """A workspace whose segments break off while they are read, so many times."""

    left = 1

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        if "/segments/" in path and self.left:
            self.left -= 1
            raise StorageError("it broke off")
        with super().open(path) as stream:
            yield stream


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_stream_that_breaks_off_is_begun_again_a_few_times(desk: Desk, times: int):
    desk.commit({number: ok(number) for number in ROWS})
    store = Breaking(fsspec.filesystem("memory"), desk.workspace.url.removeprefix("memory://"))
    store.left = times
    workspace = Workspace(store)
    if times < 3:
        summary: Summary = merge(workspace, desk.pin)
        assert summary.rows == 7
        assert desk.read("parallel_run_step.txt") == b"".join(ROWS.values())
    else:
        with pytest.raises(StorageError, match="it broke off"):
            merge(workspace, desk.pin)
        assert desk.published() == []


# Why outcomes are missing.


def fail(desk: Desk, reason: UserError, *, node: str = "failed", pin: Pin | None = None) -> None:
    """A node of a run says why it could not go on, and ends."""
    with Pulse(desk.workspace.store, desk.folder, own_heartbeat(node, pin or desk.pin, 0, 1)) as pulse:
        pulse.say_failure(reason)


def test_after_a_node_that_could_not_go_on_merge_fails_with_that_node_s_reason_first(desk: Desk):
    desk.commit({number: ok(number) for number in ROWS if number != 4})
    fail(desk, UserError("the script's init() failed 3 times", "Traceback\nValueError: no model"))
    with pytest.raises(UserError) as raised:
        merge(desk.workspace, desk.pin)
    assert str(raised.value).startswith("Traceback\nValueError: no model")
    assert str(raised.value).endswith("1 of 2 mini-batches of block 2 have no outcome")
    assert desk.published() == []
    assert endings(desk.workspace.store, desk.job.name) == ()


def test_a_node_that_was_lost_without_a_word_makes_it_worth_trying_again(desk: Desk):
    desk.commit({number: ok(number) for number in ROWS if number != 4})
    with Pulse(desk.workspace.store, desk.folder, own_heartbeat("lost", desk.pin, 0, 1)):
        pass
    with pytest.raises(WorkersUnavailable, match=r"nodes were lost\. Run it again to resume"):
        merge(desk.workspace, desk.pin)


@pytest.mark.parametrize("other", [{"path": "pins/another.json"}, {"pinned_at": 1.0}], ids=["another run", "before it was cleared"])
def test_the_reason_of_another_run_is_not_this_run_s(desk: Desk, other: dict[str, object]):
    desk.commit({number: ok(number) for number in ROWS if number != 4})
    fail(desk, UserError("of theirs"), pin=replace(desk.pin, **other))  # type: ignore[arg-type]
    with pytest.raises(WorkersUnavailable):
        merge(desk.workspace, desk.pin)


def test_where_others_did_the_rest_a_node_that_failed_costs_nothing(desk: Desk):
    fail(desk, UserError("this machine lacks a library"))
    desk.commit({number: ok(number) for number in ROWS})
    assert merge(desk.workspace, desk.pin).rows == 7


# Nothing to score.


def nothing(desk: Desk, tmp_path: Path, *names: str, allow_empty: bool = True, **asked: object) -> Request:
    """A request for what is not there."""
    return Request(
        config=ParallelRunConfig(entry_script=str(tmp_path / "score.py"), error_threshold=0, **asked),  # type: ignore[arg-type]
        inputs=[FileDataset.from_files(str(tmp_path / name)) for name in names],
        output_dir=desk.pin.output_dir,
        environment=Specification(installed="python"),
        allow_empty=allow_empty,
    )


@pytest.mark.parametrize("name", ["gone", "in/*.png", "gone/*.png", "empty"])
def test_an_input_without_files_gives_an_empty_result_where_that_is_allowed(desk: Desk, tmp_path: Path, name: str):
    (tmp_path / "empty").mkdir()
    pin = begin(desk.workspace, nothing(desk, tmp_path, name))
    summary = score(desk.workspace, pin, NodeOptions())
    assert (desk.read("parallel_run_step.txt"), desk.read("_errors.jsonl")) == (b"", b"")
    assert (summary.items, summary.mini_batches, summary.rows, summary.attempts, summary.nodes) == (0, 0, 0, 0, 0)
    assert (summary.items_per_second, summary.reused, summary.resumed, summary.output_bytes) == (0.0, False, 0, 0)
    assert json.loads(desk.read("_summary.json")) == asdict(summary)
    assert str(summary).startswith("0 items in 0 mini-batches, 0 rows, in ")
    assert load_pin(desk.workspace, pin.path).complete


def test_an_empty_result_is_reused_and_is_an_error_again_where_it_is_not_allowed(desk: Desk, tmp_path: Path):
    first = score(desk.workspace, begin(desk.workspace, nothing(desk, tmp_path, "gone")), NodeOptions())
    again = score(desk.workspace, begin(desk.workspace, nothing(desk, tmp_path, "gone")), NodeOptions())
    assert (again.reused, again.job, again.rows) == (True, first.job, 0)
    with pytest.raises(ConfigError, match="gone"):
        begin(desk.workspace, nothing(desk, tmp_path, "gone", allow_empty=False))


def test_of_several_inputs_an_empty_one_takes_nothing_from_the_others(desk: Desk, tmp_path: Path):
    pin = begin(desk.workspace, nothing(desk, tmp_path, "gone", "in", mini_batch_size=1, process_count_per_node=2))
    same = replace(desk, job=load_job(desk.workspace, pin.job), pin=pin)
    assert same.job.items == len(ROWS)
    same.commit({number: ok(number) for number in ROWS})
    assert merge(desk.workspace, pin).rows == len(ROWS)
    with pytest.raises(ConfigError, match="gone"):
        begin(desk.workspace, nothing(desk, tmp_path, "gone", "in", allow_empty=False))


def test_nothing_is_within_every_threshold(desk: Desk, tmp_path: Path):
    strict = nothing(desk, tmp_path, "gone", allowed_failed_count=0, allowed_failed_percent=0)
    assert score(desk.workspace, begin(desk.workspace, strict), NodeOptions()).items_failed == 0


def test_an_empty_result_takes_the_place_of_yesterday_s(desk: Desk, tmp_path: Path):
    desk.commit({number: ok(number) for number in ROWS})
    merge(desk.workspace, desk.pin)
    score(desk.workspace, begin(desk.workspace, nothing(desk, tmp_path, "gone")), NodeOptions())
    assert desk.read("parallel_run_step.txt") == b""


def test_under_summary_only_nothing_publishes_no_file_of_rows(desk: Desk, tmp_path: Path):
    pin = begin(desk.workspace, nothing(desk, tmp_path, "gone", output_action="summary_only"))
    assert score(desk.workspace, pin, NodeOptions()).output == desk.pin.output_dir
    assert desk.published() == ["_errors.jsonl", "_summary.json"]
