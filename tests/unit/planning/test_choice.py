from airflow_batchinfer.planning.choice import Continue, Create, Ending, Existing, Reuse, choose
from airflow_batchinfer.planning.thresholds import Counts, Thresholds

CLEAN = Counts(mini_batches=4, items=40, rows=40, attempts=4)
WITH_3_FAILED = Counts(mini_batches=4, mini_batches_failed=1, items=40, items_failed=3, rows=37, attempts=6)
ABORT = None


def job(number: int, *endings: tuple[int, Counts | None]) -> Existing:
    return Existing(f"job-{number}", number, tuple(Ending(view, counts) for view, counts in endings))


def chosen(*existing: Existing, threshold: int = 0, unfinished: str | None = None, allow_reuse: bool = True) -> object:
    last = max((job.number for job in existing), default=0)
    return choose(existing, Thresholds(threshold), unfinished, last, allow_reuse=allow_reuse)


def test_where_there_is_none_the_first_job_is_made():
    assert chosen() == Create(1)
    assert chosen(allow_reuse=False) == Create(1)


def test_a_complete_job_within_this_run_s_thresholds_is_reused():
    assert chosen(job(1, (0, CLEAN))) == Reuse("job-1", 0)


def test_a_complete_job_with_exactly_as_many_failures_as_this_run_allows_is_reused():
    assert chosen(job(1, (0, WITH_3_FAILED)), threshold=3) == Reuse("job-1", 0)


def test_a_complete_job_that_failed_more_than_this_run_allows_is_continued_in_a_new_generation():
    assert chosen(job(1, (0, WITH_3_FAILED)), threshold=2) == Continue("job-1", 1)


def test_a_job_that_was_good_enough_for_an_earlier_run_is_judged_by_this_run_s_thresholds():
    complete = job(1, (0, WITH_3_FAILED))
    assert chosen(complete, threshold=-1) == Reuse("job-1", 0)
    assert chosen(complete, threshold=0) == Continue("job-1", 1)


def test_a_complete_job_without_a_single_success_is_never_reused():
    nothing = Counts(mini_batches=4, mini_batches_failed=4, items=40, items_failed=40, attempts=12)
    assert chosen(job(1, (0, nothing)), threshold=-1) == Continue("job-1", 1)


def test_an_incomplete_job_is_resumed_in_the_generation_that_is_going_on():
    assert chosen(job(1)) == Continue("job-1", 0)


def test_an_incomplete_job_is_resumed_by_another_run_too():
    assert chosen(job(1), unfinished=None) == Continue("job-1", 0)


def test_an_aborted_job_is_resumed_in_the_next_generation():
    assert chosen(job(1, (0, ABORT))) == Continue("job-1", 1)


def test_each_ending_opens_the_next_generation():
    assert chosen(job(1, (0, ABORT), (1, WITH_3_FAILED))) == Continue("job-1", 2)


def test_a_job_that_was_mended_later_is_reused_as_its_last_generation_saw_it():
    assert chosen(job(1, (0, WITH_3_FAILED), (1, CLEAN))) == Reuse("job-1", 1)


def test_a_run_that_ended_in_an_old_generation_is_shown_as_that_one_saw_it():
    assert chosen(job(1, (0, ABORT), (0, CLEAN))) == Reuse("job-1", 0)


def test_the_newest_complete_job_is_reused():
    assert chosen(job(1, (0, CLEAN)), job(3, (0, CLEAN)), job(2, (0, CLEAN))) == Reuse("job-3", 0)


def test_a_complete_job_is_better_than_a_newer_one_that_is_not():
    assert chosen(job(1, (0, CLEAN)), job(2)) == Reuse("job-1", 0)


def test_without_reuse_a_run_without_a_pin_gets_a_new_job():
    assert chosen(job(1, (0, CLEAN)), allow_reuse=False) == Create(2)
    assert chosen(job(1), allow_reuse=False) == Create(2)


def test_without_reuse_a_run_whose_pin_is_incomplete_continues_its_job():
    assert chosen(job(1), job(2), job(3), unfinished="job-2", allow_reuse=False) == Continue("job-2", 0)


def test_without_reuse_a_run_that_aborted_continues_its_job_in_the_next_generation():
    assert chosen(job(1), job(2, (0, ABORT)), unfinished="job-2", allow_reuse=False) == Continue("job-2", 1)


def test_without_reuse_a_run_with_a_complete_pin_gets_a_new_job():
    assert chosen(job(1, (0, CLEAN)), job(2, (0, CLEAN)), unfinished=None, allow_reuse=False) == Create(3)


def test_without_reuse_a_run_whose_job_was_deleted_gets_a_new_one():
    assert chosen(job(2), unfinished="job-1", allow_reuse=False) == Create(3)


def test_the_number_of_a_deleted_job_is_not_given_again():
    assert choose([job(2)], Thresholds(0), None, 5, allow_reuse=False) == Create(6)
    assert choose([], Thresholds(0), None, 5, allow_reuse=True) == Create(6)


def test_two_endings_of_one_generation_open_only_the_next_one():
    assert chosen(job(1, (0, ABORT), (0, WITH_3_FAILED))) == Continue("job-1", 1)


def test_a_new_job_s_number_is_never_one_that_there_is():
    assert chosen(job(7), job(2), allow_reuse=False) == Create(8)


def test_a_retry_continues_the_job_that_its_pin_names_though_there_is_a_newer_one():
    assert chosen(job(1), job(2), unfinished="job-1") == Continue("job-1", 0)


def test_a_complete_job_stays_reusable_when_another_run_aborts_on_it():
    assert chosen(job(1, (0, WITH_3_FAILED), (1, ABORT)), threshold=3) == Reuse("job-1", 0)
