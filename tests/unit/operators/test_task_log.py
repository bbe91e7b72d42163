"""A node's task log: what is told, when, in which order, and from several threads at once."""

import logging
import threading
from collections.abc import Iterator

import pytest

from airflow_batchinfer.engine.progress import Progress
from airflow_batchinfer.operators.task_log import FOLD_LINES, FOLD_SECONDS, LINE_SECONDS, TaskLog, folded
from airflow_batchinfer.planning.thresholds import Counts

GROUP, END = "::group::", "::endgroup::"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A task log with a clock, and what it has written."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.clock = Clock()
        self.log = TaskLog(self.clock)
        self._caplog = caplog
        self._began = self.clock.now

    def progress(self, done: int, *, of: int = 100, after_seconds: float = 0.0) -> None:
        self.clock.now += after_seconds
        counts = Counts(mini_batches=done, items=done)
        self.log.progress(Progress(of, of, counts, 0, self.clock.now - self._began + 1, 2))

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records]

    @property
    def percents(self) -> list[str]:
        return [line.partition("(")[2].partition(" %")[0] for line in self.lines if " items (" in line]


@pytest.fixture
def desk(caplog: pytest.LogCaptureFixture) -> Iterator[Desk]:
    with caplog.at_level(logging.INFO):
        yield Desk(caplog)


def test_the_first_progress_is_told_at_once_then_one_line_every_few_seconds(desk: Desk):
    for done in range(50):
        desk.progress(done, after_seconds=LINE_SECONDS / 5)
    assert desk.percents == [str(done) for done in range(0, 50, 5)]


def test_the_last_progress_is_told_at_once_and_once_however_often_it_comes(desk: Desk):
    desk.progress(0)
    desk.progress(99, after_seconds=1)
    for _ in range(5):
        desk.progress(100, after_seconds=LINE_SECONDS)  # each time at another speed, so that no line is as the one before
    assert desk.percents == ["0", "100"]


def test_a_job_that_is_done_at_the_first_look_is_told_once(desk: Desk):
    for _ in range(3):
        desk.progress(100, after_seconds=LINE_SECONDS)
    assert desk.percents == ["100"]


def test_a_job_that_seemed_done_and_was_not_is_told_until_it_is(desk: Desk):
    desk.progress(100)
    desk.progress(90, after_seconds=1)  # a block was lost to another node
    desk.progress(90, after_seconds=LINE_SECONDS)
    desk.progress(100, after_seconds=1)
    assert desk.percents == ["100", "90", "100"]


def test_what_stands_still_is_not_told_again(desk: Desk):
    for _ in range(10):
        desk.progress(0, after_seconds=LINE_SECONDS)
    assert desk.percents == ["0"]


def test_a_job_without_items_is_told_as_done(desk: Desk):
    desk.progress(0, of=0)
    desk.progress(0, of=0, after_seconds=LINE_SECONDS)
    assert desk.lines == ["0 of 0 items (100 %), 0 items/s"]


def test_what_workers_print_is_held_back_a_moment_and_told_in_one_fold_in_its_order(desk: Desk):
    desk.progress(0)
    for number in range(3):
        desk.log.printed(number % 2, f"line {number}")
    desk.progress(0, after_seconds=FOLD_SECONDS / 2)
    assert len(desk.lines) == 1
    desk.progress(0, after_seconds=FOLD_SECONDS / 2)
    assert desk.lines[1:] == [
        f"{GROUP}What the workers printed: 3 lines",
        "worker 0 | line 0",
        "worker 1 | line 1",
        "worker 0 | line 2",
        END,
    ]


def test_the_wait_counts_from_the_first_line_of_a_fold(desk: Desk):
    desk.log.printed(0, "first")
    desk.clock.now += FOLD_SECONDS * 0.9
    desk.log.printed(0, "second")
    desk.progress(0, after_seconds=FOLD_SECONDS * 0.2)
    assert desk.lines[:4] == [f"{GROUP}What the workers printed: 2 lines", "worker 0 | first", "worker 0 | second", END]


def test_what_was_printed_before_is_told_before_the_progress(desk: Desk):
    desk.log.printed(0, "before")
    desk.progress(0, after_seconds=FOLD_SECONDS)
    assert [line for line in desk.lines if "before" in line or " %" in line] == ["worker 0 | before", desk.lines[-1]]


def test_a_fold_that_is_full_is_told_at_once(desk: Desk):
    for number in range(2 * FOLD_LINES + 1):
        desk.log.printed(0, str(number))
    assert desk.lines.count(f"{GROUP}What the workers printed: {FOLD_LINES} lines") == 2
    assert desk.lines.count(END) == 2
    desk.log.flush()
    assert desk.lines[-3:] == [f"{GROUP}What the workers printed: 1 line", f"worker 0 | {2 * FOLD_LINES}", END]


def test_at_the_end_nothing_is_left_and_nothing_makes_no_fold(desk: Desk):
    desk.log.flush()
    desk.log.printed(0, "last words")
    desk.log.flush()
    desk.log.flush()
    assert desk.lines == [f"{GROUP}What the workers printed: 1 line", "worker 0 | last words", END]


@pytest.mark.parametrize("printed", [END, GROUP, f"x {GROUP} y", f"a{END}b{GROUP}c", f"{GROUP}{END}", "::::group::::"])
def test_a_script_that_prints_airflow_s_marks_opens_and_ends_no_fold(desk: Desk, printed: str):
    desk.log.printed(3, printed)
    desk.log.printed(3, "after")
    desk.log.flush()
    first, told, after, last = desk.lines
    assert (first.startswith(GROUP), after, last) == (True, "worker 3 | after", END)
    assert GROUP not in told
    assert END not in told
    assert told.replace(": :", "::") == f"worker 3 | {printed}"


def test_a_line_with_percent_signs_is_told_as_it_is(desk: Desk):
    desk.log.printed(0, "100 %s done, %d %(x)s")
    desk.log.flush()
    folded("about 5 %s", ["%s"])
    assert "worker 0 | 100 %s done, %d %(x)s" in desk.lines
    assert desk.lines[-3:] == [f"{GROUP}about 5 %s", "%s", END]


def test_from_many_threads_every_line_is_told_once_inside_a_fold_and_in_each_worker_s_order(desk: Desk):
    workers, lines = 8, 300
    barrier = threading.Barrier(workers + 1)

    def chatter(worker: int) -> None:
        barrier.wait(30)
        for number in range(lines):
            desk.log.printed(worker, str(number))

    threads = [threading.Thread(target=chatter, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    barrier.wait(30)
    for done in range(99):
        desk.progress(done, after_seconds=FOLD_SECONDS)
    for thread in threads:
        thread.join(30)
    desk.log.flush()
    told: dict[int, list[int]] = {worker: [] for worker in range(workers)}
    is_open = False
    for line in desk.lines:
        if line.startswith(GROUP):
            assert not is_open
            is_open = True
        elif line == END:
            assert is_open
            is_open = False
        elif line.startswith("worker "):
            assert is_open
            worker, _, number = line.removeprefix("worker ").partition(" | ")
            told[int(worker)].append(int(number))
        else:
            assert not is_open, f"{line!r} stands inside a fold"
    assert told == {worker: list(range(lines)) for worker in range(workers)}
