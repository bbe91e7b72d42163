"""A mini-batch from its first attempt until it is settled, with the ledger's verdicts, and a script that does what items are called."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.engine.fetching import Fetched
from airflow_batchinfer.engine.ledger import Failed, Ledger, Succeeded, Verdict
from airflow_batchinfer.engine.outputs import Settled
from airflow_batchinfer.engine.pending import Pending
from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.planning.lines import line_of_files
from airflow_batchinfer.planning.thresholds import Counts, Thresholds

GOOD, BAD, SHORT, GONE, UNFETCHED = "good", "bad", "short", "gone", "unfetched"
HEADER = b"name\n"


@dataclass
class Story:
    """What became of items that are called so; `of_calls` are the names of each call's items."""

    kinds: Sequence[str]
    tries: int = 1
    header: bytes = b""
    of_calls: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = [f"{number:03d}-{kind}" for number, kind in enumerate(self.kinds)]
        lost = tuple((name, "cannot be read") for name in self.names if name.endswith(UNFETCHED))
        self.here = [name for name in self.names if not name.endswith(UNFETCHED)]
        pending = Pending(7, line_of_files([Item(name, 1, 1) for name in self.names]), Fetched(7, b"", lost))
        ledger = Ledger(Thresholds(-1), self.tries, isolates=True)
        self.settled = self.play(pending, ledger)
        self.errors = [json.loads(line) for line in self.settled.errors.splitlines()]
        self.rows = self.settled.rows.decode().splitlines()

    def play(self, pending: Pending, ledger: Ledger) -> Settled:
        while True:
            part = pending.call.part
            names = self.here[part.start : part.stop] if part else self.here
            self.of_calls.append(names)
            pending.enter(self.run(names))
            if pending.is_isolating:
                ledger.judge_part(7, pending.items_failed, Counts())
                continue
            outcome = pending.outcome
            verdict, counts = ledger.judge(7, pending.items, outcome, Counts())
            if verdict is Verdict.ISOLATE:
                assert isinstance(outcome, Failed)
                pending.isolate(outcome, counts.attempts)
            elif verdict is not Verdict.RETRY:
                return pending.settled(counts)

    def run(self, names: list[str]) -> Done | Failed:
        lost = tuple((name, "changed since planned") for name in names if name.endswith(GONE))
        present = [name for name in names if not name.endswith(GONE)]
        if bad := [name for name in present if name.endswith(BAD)]:
            return Failed(f"ValueError: {bad[0]}", "ValueError", f"Traceback of {len(names)}")
        rows = [name for name in present if not name.endswith(SHORT)]
        text = (self.header if present else b"") + "".join(f"{name}\n" for name in rows).encode()
        return Done(7, len(names), len(rows), lost, text, len(self.header) if present else 0)

    @property
    def failed(self) -> list[str]:
        """The items of every error line but those that say that some of several gave no row."""
        return [name for error in self.errors if error["items_failed"] == len(error["items"]) for name in error["items"]]


stories = st.lists(st.sampled_from([*[GOOD] * 8, BAD, SHORT, GONE, UNFETCHED]), min_size=1, max_size=60)


@given(stories, st.integers(1, 3), st.sampled_from([b"", HEADER]))
def test_the_error_lines_explain_every_item_that_is_counted_as_failed(kinds: list[str], tries: int, header: bytes):
    story = Story(kinds, tries, header)
    counts = story.settled.counts
    assert counts.items == len(kinds)
    assert counts.items_failed == sum(error["items_failed"] for error in story.errors)
    assert counts.attempts == len(story.of_calls)
    assert len(set(story.failed)) == len(story.failed)
    assert counts.mini_batches_failed == (not story.settled.succeeded)


@given(stories, st.sampled_from([b"", HEADER]))
def test_the_rows_are_those_of_the_items_that_did_not_fail_in_order_under_one_header(kinds: list[str], header: bytes):
    story = Story(kinds, 1, header)
    if not story.settled.succeeded:
        assert story.rows == []
        return
    silent = {name for name in story.names if name.endswith(SHORT)}
    expected = [name for name in story.names if name not in story.failed and name not in silent]
    assert story.rows == ([HEADER.decode().strip()] if story.settled.header_bytes else []) + expected
    assert story.settled.counts.rows == len(expected)
    assert story.settled.header_bytes in (0, len(header))


@given(stories)
def test_items_that_never_reached_a_worker_are_in_no_part(kinds: list[str]):
    story = Story(kinds)
    assert {name for names in story.of_calls for name in names} <= set(story.here)
    assert {name for name in story.names if name.endswith(UNFETCHED)} <= {name for error in story.errors for name in error["items"]}


def test_of_two_items_of_which_one_was_lost_the_other_is_not_called_again():
    story = Story([UNFETCHED, BAD])
    assert len(story.of_calls) == 1
    assert (story.settled.succeeded, story.settled.counts.items_failed) == (False, 2)


@pytest.mark.parametrize("lost", [GONE, UNFETCHED])
def test_if_no_item_could_be_read_halving_would_find_nothing(lost: str):
    story = Story([lost] * 4)
    assert len(story.of_calls) == 1
    (error,) = story.errors
    assert (error["items"], error["items_failed"]) == (story.names, 4)
    assert error["reason"].startswith(f"no item could be read; the first, {story.names[0]}, ")


def test_of_several_tries_that_could_read_nothing_only_the_last_counts():
    story = Story([GONE] * 4, tries=3)
    assert (len(story.of_calls), story.settled.counts) == (3, Counts(1, 1, 4, 4, 0, 3))


def test_a_mini_batch_that_turns_out_to_be_empty_succeeded():
    pending = Pending(7, b"", Fetched(7, b""))
    pending.enter(Done(7, 0, 0, (), b"", 0))
    assert (pending.items, pending.outcome) == (0, Succeeded(0, 0, 0))


def test_a_part_whose_items_are_all_lost_is_no_success():
    story = Story([GONE, BAD])
    assert not story.settled.succeeded
    assert story.failed == story.names


def test_a_success_after_a_failure_tells_nothing_of_the_failure():
    pending = Pending(7, line_of_files([Item("a", 1, 1)]), Fetched(7, b""))
    pending.enter(Failed("it broke", "it"))
    pending.enter(Done(7, 1, 1, (), b"a\n", 0))
    assert pending.settled(Counts(1, 0, 1, 0, 1, 2)) == Settled(7, succeeded=True, counts=Counts(1, 0, 1, 0, 1, 2), rows=b"a\n")


def test_an_attempt_after_a_failure_that_could_read_nothing_says_so():
    pending = Pending(7, line_of_files([Item("a", 1, 1)]), Fetched(7, b""))
    pending.enter(Failed("it broke", "it"))
    pending.enter(Done(7, 1, 0, (("a", "changed since planned"),), b"", 0))
    outcome = pending.outcome
    assert isinstance(outcome, Failed)
    assert outcome.key == "changed since planned"
