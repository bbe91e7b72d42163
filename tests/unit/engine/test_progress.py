import pytest

from airflow_batchinfer.engine.progress import Progress, duration
from airflow_batchinfer.planning.thresholds import Counts


def progress(items: int, *, failed: int = 0, at_start: int = 0, seconds: float = 10.0) -> Progress:
    counts = Counts(mini_batches=items // 10, items=items, items_failed=failed)
    return Progress(mini_batches=100, items=1000, counts=counts, items_at_start=at_start, seconds=seconds, workers=2)


def test_speed_counts_from_where_this_node_began():
    assert progress(600, at_start=500).items_per_second == 10
    assert progress(600, at_start=500).seconds_left == 40


def test_before_there_is_a_speed_nothing_is_promised():
    assert progress(0).seconds_left is None
    assert progress(500, at_start=500).seconds_left is None
    assert progress(100, seconds=0).items_per_second == 0


def test_a_block_that_was_lost_does_not_make_the_speed_negative():
    assert progress(400, at_start=500).items_per_second == 0


def test_it_reads_as_a_person_would_say_it():
    assert str(progress(500)) == "500 of 1,000 items (50 %), 50 items/s, about 10 s left"
    assert str(progress(500, failed=3)) == "500 of 1,000 items (50 %), 50 items/s, 3 failed, about 10 s left"
    assert str(progress(0)) == "0 of 1,000 items (0 %), 0 items/s"
    assert str(Progress(0, 0, Counts(), 0, 1.0, 0)) == "0 of 0 items (100 %), 0 items/s"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3599.6, "1 h 00 min"),
        (3600 * 26 + 65, "26 h 01 min"),
    ],
)
def test_a_duration_reads_as_a_person_would_say_it(seconds: float, said: str):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("mini_batches", "counts", "is_done"),
    [
        (2, Counts(), False),
        (2, Counts(mini_batches=1, items=20), False),
        (2, Counts(mini_batches=2, items=20), True),
        (2, Counts(mini_batches=2, mini_batches_failed=2, items=20, items_failed=20), True),
        (0, Counts(), True),
    ],
    ids=["nothing yet", "half", "all", "all failed", "no items at all"],
)
def test_a_job_is_done_when_every_mini_batch_has_an_outcome_whichever(mini_batches: int, counts: Counts, is_done: bool):
    assert Progress(mini_batches, 20, counts, 0, 1.0, 2).is_done == is_done
