from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from airflow_batchinfer.engine.ledger import Failed, Ledger, Succeeded, Verdict
from airflow_batchinfer.planning.thresholds import Counts, Thresholds

FAILED = Failed("it broke", "it")
NOTHING = Counts()


def lenient(max_tries: int = 3) -> Ledger:
    return Ledger(Thresholds(-1), max_tries)


def test_a_mini_batch_is_tried_as_often_as_it_may_be_in_all():
    ledger = lenient(3)
    verdicts = [ledger.judge(7, 10, FAILED, NOTHING)[0] for _ in range(3)]
    assert verdicts == [Verdict.RETRY, Verdict.RETRY, Verdict.GIVE_UP]


def test_one_try_in_all_means_that_nothing_is_tried_again():
    assert lenient(1).judge(7, 10, FAILED, NOTHING)[0] is Verdict.GIVE_UP


def test_what_is_given_up_costs_all_its_items_and_counts_its_attempts():
    ledger = lenient(2)
    ledger.judge(7, 10, FAILED, NOTHING)
    assert ledger.judge(7, 10, FAILED, NOTHING)[1] == Counts(1, 1, 10, 10, 0, 2)


def test_a_success_after_failures_counts_the_attempts_and_no_failure():
    ledger = lenient()
    ledger.judge(7, 10, FAILED, NOTHING)
    verdict, counts = ledger.judge(7, 10, Succeeded(10, 0, 10), NOTHING)
    assert (verdict, counts) == (Verdict.DONE, Counts(1, 0, 10, 0, 10, 2))


def test_too_few_rows_cost_items_but_not_the_mini_batch():
    _, counts = lenient().judge(7, 10, Succeeded(8, 2, 10), NOTHING)
    assert (counts.mini_batches_failed, counts.items_failed, counts.mini_batches_with_fewer_rows) == (0, 2, 1)


def test_too_many_rows_cost_nothing_and_hide_nothing():
    _, counts = lenient().judge(7, 10, Succeeded(12, 3, 7), NOTHING)
    assert (counts.items_failed, counts.rows, counts.mini_batches_with_more_rows, counts.mini_batches_with_fewer_rows) == (3, 12, 1, 0)


def test_a_retry_costs_nothing_yet():
    ledger = Ledger(Thresholds(0), 3)
    assert ledger.judge(7, 10, FAILED, NOTHING) == (Verdict.RETRY, NOTHING)
    assert ledger.uncommitted == NOTHING
    assert ledger.spent(NOTHING) is None


def test_the_job_aborts_when_failures_exceed_the_threshold_not_when_they_reach_it():
    ledger = Ledger(Thresholds(20), 1)
    assert ledger.judge(1, 10, FAILED, NOTHING)[0] is Verdict.GIVE_UP
    assert ledger.judge(2, 10, FAILED, NOTHING)[0] is Verdict.GIVE_UP
    assert ledger.judge(3, 1, FAILED, NOTHING)[0] is Verdict.ABORT


def test_what_all_nodes_have_committed_counts_together_with_what_only_we_know():
    ledger = Ledger(Thresholds(20), 1)
    others = Counts(2, 2, 15, 15, 0, 2)
    assert ledger.judge(1, 5, FAILED, others)[0] is Verdict.GIVE_UP
    assert ledger.judge(2, 1, FAILED, others)[0] is Verdict.ABORT
    assert ledger.spent(others) == "21 items failed, more than error_threshold=20 allows"


def test_failed_mini_batches_have_a_threshold_of_their_own():
    ledger = Ledger(Thresholds(-1, 1), 1)
    assert ledger.judge(1, 5, FAILED, NOTHING)[0] is Verdict.GIVE_UP
    assert ledger.judge(2, 5, FAILED, NOTHING)[0] is Verdict.ABORT


def test_a_success_can_abort_too_when_its_missing_rows_are_too_many():
    assert Ledger(Thresholds(1), 3).judge(1, 5, Succeeded(3, 2, 5), NOTHING)[0] is Verdict.ABORT


def test_the_percent_never_aborts_a_running_job():
    ledger = Ledger(Thresholds(-1, None, 0), 1)
    assert ledger.judge(1, 5, FAILED, NOTHING)[0] is Verdict.GIVE_UP


def test_what_is_committed_is_not_counted_twice():
    ledger = Ledger(Thresholds(10), 1)
    _, counts = ledger.judge(1, 10, FAILED, NOTHING)
    ledger.settle([1])
    assert ledger.uncommitted == NOTHING
    assert ledger.spent(counts) is None


def test_a_mini_batch_of_a_lost_block_starts_anew():
    ledger = lenient(2)
    ledger.judge(1, 10, FAILED, NOTHING)
    ledger.settle([1, 2, 3])
    assert ledger.judge(1, 10, FAILED, NOTHING)[0] is Verdict.RETRY


def isolating(thresholds: Thresholds, max_tries: int = 1) -> Ledger:
    return Ledger(thresholds, max_tries, isolates=True)


def test_a_mini_batch_whose_tries_are_used_up_is_isolated_only_where_that_is_asked_for():
    ledger = isolating(Thresholds(-1), 2)
    assert [ledger.judge(7, 10, FAILED, NOTHING)[0] for _ in range(2)] == [Verdict.RETRY, Verdict.ISOLATE]
    assert lenient(1).judge(7, 10, FAILED, NOTHING)[0] is Verdict.GIVE_UP


@pytest.mark.parametrize(("items", "failure"), [(1, FAILED), (10, Failed("cannot be read", "it", indivisible=True))])
def test_what_halving_cannot_tell_apart_is_given_up_at_once(items: int, failure: Failed):
    assert isolating(Thresholds(-1)).judge(7, items, failure, NOTHING)[0] is Verdict.GIVE_UP


def test_a_mini_batch_that_is_isolated_costs_nothing_until_an_item_is_found():
    ledger = isolating(Thresholds(0))
    ledger.judge(7, 10, FAILED, NOTHING)
    assert ledger.uncommitted == NOTHING
    assert ledger.judge_part(7, 0, NOTHING) is Verdict.ISOLATE
    assert ledger.spent(NOTHING) is None


def test_the_calls_of_parts_count_as_attempts():
    ledger = isolating(Thresholds(-1), 3)
    for _ in range(3):
        ledger.judge(7, 10, FAILED, NOTHING)
    for _ in range(5):
        ledger.judge_part(7, 1, NOTHING)
    verdict, counts = ledger.judge(7, 10, Succeeded(9, 1, 9), NOTHING)
    assert (verdict, counts) == (Verdict.DONE, Counts(1, 0, 10, 1, 9, 9))
    assert ledger.uncommitted == counts


def test_if_no_part_succeeded_it_is_given_up_and_not_isolated_again():
    ledger = isolating(Thresholds(-1))
    ledger.judge(7, 2, FAILED, NOTHING)
    ledger.judge_part(7, 1, NOTHING)
    assert ledger.judge(7, 2, FAILED, NOTHING) == (Verdict.GIVE_UP, Counts(1, 1, 2, 2, 0, 3))


def test_what_is_found_counts_together_with_what_all_nodes_have_committed_and_aborts_at_once():
    ledger = isolating(Thresholds(5))
    others = Counts(2, 0, 20, 4, 16, 2)
    ledger.judge(7, 10, FAILED, others)
    assert ledger.judge_part(7, 1, others) is Verdict.ISOLATE
    assert ledger.judge_part(7, 2, others) is Verdict.ABORT
    assert ledger.spent(others) == "6 items failed, more than error_threshold=5 allows"


def test_a_lost_block_forgets_what_was_found_and_that_it_was_isolated():
    ledger = isolating(Thresholds(5))
    ledger.judge(7, 10, FAILED, NOTHING)
    ledger.judge_part(7, 3, NOTHING)
    ledger.settle([7])
    assert ledger.uncommitted == NOTHING
    assert ledger.judge(7, 10, FAILED, NOTHING)[0] is Verdict.ISOLATE


class AgainstAModel(RuleBasedStateMachine):
    """The model remembers every attempt and adds up from the beginning each time it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.committed = Counts()
        self.tries: dict[int, int] = {}
        self.isolating: set[int] = set()
        self.decided: dict[int, Counts] = {}

    @initialize(threshold=st.integers(-1, 30), count=st.none() | st.integers(-1, 6), max_tries=st.integers(1, 4), isolates=st.booleans())
    def begin(self, threshold: int, count: int | None, max_tries: int, isolates: bool) -> None:
        self.thresholds, self.max_tries, self.isolates = Thresholds(threshold, count), max_tries, isolates
        self.ledger = Ledger(self.thresholds, max_tries, isolates=isolates)

    def total(self) -> Counts:
        whole = self.committed
        for counts in self.decided.values():
            whole = whole.plus(counts)
        return whole

    def judge(self, number: int, items: int, outcome: Failed | Succeeded, expected: Callable[[int], Counts]) -> None:
        tries = self.tries.pop(number, 0) + 1
        verdict, counts = self.ledger.judge(number, items, outcome, self.committed)
        if isinstance(outcome, Failed) and tries < self.max_tries:
            self.tries[number] = tries
            assert (verdict, counts) == (Verdict.RETRY, Counts())
            return
        if isinstance(outcome, Failed) and self.isolates and items > 1 and number not in self.isolating:
            self.isolating.add(number)
            self.tries[number] = tries
            assert (verdict, counts) == (Verdict.ISOLATE, Counts(attempts=tries))
            return
        self.isolating.discard(number)
        self.decided[number] = expected(tries)
        assert counts == expected(tries)
        if self.thresholds.exceeded(self.total()):
            assert verdict is Verdict.ABORT
        else:
            assert verdict is (Verdict.GIVE_UP if isinstance(outcome, Failed) else Verdict.DONE)

    @rule(number=st.integers(0, 5), items=st.integers(1, 5))
    def fails(self, number: int, items: int) -> None:
        self.judge(number, items, FAILED, lambda tries: Counts(1, 1, items, items, 0, tries))

    @rule(number=st.integers(0, 5), items=st.integers(1, 5), rows=st.integers(0, 7))
    def succeeds(self, number: int, items: int, rows: int) -> None:
        failed = max(0, items - rows)
        expected = (items, failed, rows)
        self.judge(
            number,
            items,
            Succeeded(rows, failed, items),
            lambda tries: Counts(1, 0, *expected, tries, int(rows > items), int(rows < items)),
        )

    @rule(number=st.integers(0, 5), items_failed=st.integers(0, 3))
    def a_part_ends(self, number: int, items_failed: int) -> None:
        if number in self.isolating:
            self.tries[number] += 1
            self.decided[number] = Counts(items_failed=items_failed)
            expected = Verdict.ABORT if self.thresholds.exceeded(self.total()) else Verdict.ISOLATE
            assert self.ledger.judge_part(number, items_failed, self.committed) is expected

    @rule(numbers=st.sets(st.integers(0, 5)))
    def commits(self, numbers: set[int]) -> None:
        numbers = numbers - self.isolating
        for number in numbers:
            self.committed = self.committed.plus(self.decided.pop(number, Counts()))
            self.tries.pop(number, None)
        self.ledger.settle(sorted(numbers))

    @rule(numbers=st.sets(st.integers(0, 5)))
    def loses_a_block(self, numbers: set[int]) -> None:
        for number in numbers:
            self.isolating.discard(number)
            self.decided.pop(number, None)
            self.tries.pop(number, None)
        self.ledger.settle(sorted(numbers))

    @invariant()
    def nothing_is_counted_twice_or_forgotten(self) -> None:
        if hasattr(self, "ledger"):
            assert self.committed.plus(self.ledger.uncommitted) == self.total()
            assert self.ledger.spent(self.committed) == self.thresholds.exceeded(self.total())


TestTheLedgerAddsUpAsAModelThatRemembersEverything = AgainstAModel.TestCase
