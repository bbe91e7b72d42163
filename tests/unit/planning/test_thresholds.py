from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.planning.thresholds import Counts, Thresholds, counted

counts = st.builds(Counts, *[st.integers(0, 1000)] * 8)


def failed(items: int = 0, mini_batches: int = 0, of_items: int = 1000, of_mini_batches: int = 100) -> Counts:
    return Counts(mini_batches=of_mini_batches, mini_batches_failed=mini_batches, items=of_items, items_failed=items)


def test_exactly_as_many_items_as_allowed_is_not_over_it():
    assert Thresholds(10).exceeded(failed(items=10)) is None
    assert Thresholds(10).exceeded(failed(items=11)) == "11 items failed, more than error_threshold=10 allows"


def test_at_zero_the_first_failed_item_is_one_too_many():
    assert Thresholds(0).exceeded(failed(items=0)) is None
    assert Thresholds(0).exceeded(failed(items=1)) == "1 item failed, more than error_threshold=0 allows"


def test_exactly_as_many_mini_batches_as_allowed_is_not_over_it():
    assert Thresholds(-1, 3).exceeded(failed(mini_batches=3)) is None
    assert Thresholds(-1, 3).exceeded(failed(mini_batches=4)) == "4 mini-batches failed, more than allowed_failed_count=3 allows"


def test_minus_one_and_none_allow_any_number():
    assert Thresholds(-1).exceeded(failed(items=999, mini_batches=99)) is None
    assert Thresholds(-1, -1).exceeded(failed(items=999, mini_batches=99)) is None
    assert Thresholds(-1, None, None).exceeded_at_the_end(failed(items=999, mini_batches=99)) is None


def test_the_percent_counts_only_at_the_end():
    spent = failed(mini_batches=60)
    assert Thresholds(-1, None, 50).exceeded(spent) is None
    assert (
        Thresholds(-1, None, 50).exceeded_at_the_end(spent) == "60 of 100 mini-batches failed, more than allowed_failed_percent=50 allows"
    )


def test_exactly_the_allowed_percent_is_not_over_it():
    assert Thresholds(-1, None, 50).exceeded_at_the_end(failed(mini_batches=50)) is None
    assert Thresholds(-1, None, 12.5).exceeded_at_the_end(failed(mini_batches=1, of_mini_batches=8)) is None
    assert Thresholds(-1, None, 12.5).exceeded_at_the_end(failed(mini_batches=2, of_mini_batches=8))


def test_zero_percent_allows_no_failed_mini_batch():
    assert Thresholds(-1, None, 0).exceeded_at_the_end(failed(mini_batches=1))
    assert Thresholds(-1, None, 0).exceeded_at_the_end(failed()) is None


def test_any_of_the_three_is_enough():
    spent = failed(items=5, mini_batches=5)
    assert Thresholds(4, 100, 100).exceeded_at_the_end(spent)
    assert Thresholds(100, 4, 100).exceeded_at_the_end(spent)
    assert Thresholds(100, 100, 4).exceeded_at_the_end(spent)
    assert Thresholds(5, 5, 5).exceeded_at_the_end(spent) is None


def test_not_one_success_fails_the_run_whatever_it_allows():
    assert Thresholds(-1).exceeded_at_the_end(failed(items=3, of_items=3)) == "not one of 3 items succeeded"
    assert Thresholds(-1).exceeded(failed(items=3, of_items=3)) is None
    assert Thresholds(-1).exceeded_at_the_end(failed(items=2, of_items=3)) is None


@given(counts, counts, counts)
def test_counts_of_parts_add_up_in_any_order(a: Counts, b: Counts, c: Counts):
    assert a.plus(b).plus(c) == a.plus(b.plus(c))
    assert a.plus(b) == b.plus(a)
    assert a.plus(Counts()) == a
    assert a.plus(b).minus(b) == a
    assert a.plus(b).items == a.items + b.items


@given(counts)
def test_counts_come_back_from_their_stored_form(given: Counts):
    assert Counts(**given._asdict()) == given


@given(counts, counts, st.integers(-1, 500), st.none() | st.integers(-1, 500))
def test_what_is_exceeded_stays_so_however_much_is_added(before: Counts, more: Counts, items: int, mini_batches: int | None):
    thresholds = Thresholds(items, mini_batches)
    assert not thresholds.exceeded(before) or thresholds.exceeded(before.plus(more))


def test_a_number_agrees_with_its_noun():
    assert [counted(n, "mini-batch", "es") for n in (0, 1, 1200)] == ["0 mini-batches", "1 mini-batch", "1,200 mini-batches"]
