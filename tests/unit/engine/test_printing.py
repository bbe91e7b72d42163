import os
import threading
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.engine import printing
from airflow_batchinfer.engine.printing import FILE_BYTES, PrintedLog, Printing
from airflow_batchinfer.processes import SHOWN_BYTES_PER_SECOND, Budget
from airflow_batchinfer.storage import RemoteStore


class Shown:
    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def __call__(self, number: int, line: str) -> None:
        self.lines.append((number, line))


def test_each_second_so_many_bytes_may_be_shown():
    now = [0.0]
    budget = Budget(lambda: now[0])
    assert budget.take(1000) == 1000
    assert budget.take(10 * SHOWN_BYTES_PER_SECOND) == SHOWN_BYTES_PER_SECOND - 1000
    now[0] = 0.9
    assert (budget.left, budget.take(1)) == (0, 0)
    now[0] = 1.0
    assert budget.take(10 * SHOWN_BYTES_PER_SECOND) == SHOWN_BYTES_PER_SECOND


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 200_000)), max_size=20))
def test_no_more_is_ever_shown_than_the_seconds_allow(takes: list[tuple[float, int]]):
    now = [0.0]
    budget = Budget(lambda: now[0])
    shown = 0
    for pause, wanted in takes:
        now[0] += pause
        allowed = budget.take(wanted)
        assert 0 <= allowed <= wanted
        shown += allowed
    assert shown <= SHOWN_BYTES_PER_SECOND * (now[0] + 1)


def test_lines_are_shown_whole_however_they_come(tmp_path: Path):
    shown, log = Shown(), PrintedLog(3, tmp_path)
    for piece in (b"one\ntw", b"o\nthr", b"ee"):
        log.write(piece, shown)
    log.close(shown)
    assert shown.lines == [(3, "one"), (3, "two"), (3, "three")]


def test_what_is_not_text_is_shown_as_it_can_be(tmp_path: Path):
    shown, log = Shown(), PrintedLog(0, tmp_path)
    log.write(b"caf\xe9 \x00\n", shown)
    log.close(shown)
    assert shown.lines == [(0, "caf\\xe9 \x00")]


def test_a_long_line_is_cut_and_one_that_never_ends_too(tmp_path: Path):
    shown, log = Shown(), PrintedLog(0, tmp_path)
    log.write(b"x" * 5000 + b"\n", shown)
    for _ in range(4):
        log.write(b"y" * SHOWN_BYTES_PER_SECOND, shown)
    log.close(shown)
    assert all(len(line) <= 2000 for _, line in shown.lines)


def test_whoever_prints_too_fast_is_told_so_once_and_all_of_it_is_kept(tmp_path: Path):
    shown, log = Shown(), PrintedLog(0, tmp_path)
    text = b"x" * 99 + b"\n"
    for _ in range(20):
        log.write(text * 100, shown)
    log.close(shown)
    assert 1 <= sum("prints faster than can be shown" in line for _, line in shown.lines) <= 2
    assert len(shown.lines) < 2000
    assert (tmp_path / "worker-0.log").read_bytes() == text * 2000


def test_what_was_said_last_is_kept_in_at_most_two_files(tmp_path: Path):
    log = PrintedLog(0, tmp_path)
    piece = (b"x" * 1023 + b"\n") * 1024
    for _ in range(15):
        log.write(piece, None)
    log.write(b"the end\n", None)
    log.close(None)
    files = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(files) == {"worker-0.log", "worker-0.log.1"}
    assert all(size <= FILE_BYTES + 2 * len(piece) for size in files.values())
    assert log.tail().endswith("the end")


def test_one_giant_piece_is_kept_in_files_of_the_same_size(tmp_path: Path):
    log = PrintedLog(0, tmp_path)
    log.write(b"x" * (5 * FILE_BYTES), None)
    log.close(None)
    assert all(path.stat().st_size <= 2 * FILE_BYTES for path in tmp_path.iterdir())


def test_the_tail_is_the_last_lines(tmp_path: Path):
    log = PrintedLog(0, tmp_path)
    assert log.tail() == ""
    log.write(b"".join(b"line %d\n" % number for number in range(100)), None)
    assert log.tail(3) == "line 97\nline 98\nline 99"
    log.close(None)


def test_a_tail_is_there_also_just_after_a_file_was_full(tmp_path: Path):
    log = PrintedLog(0, tmp_path)
    for number in range(FILE_BYTES // 1024 + 2):
        log.write(b"%d " % number + b"x" * 1024 + b"\n", None)
    log.write(b"killed\n", None)
    assert len(log.tail().splitlines()) > 1
    log.close(None)


@pytest.fixture
def store() -> RemoteStore:
    return RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")


def test_what_workers_print_is_shown_kept_and_stored_by_worker(tmp_path: Path, store: RemoteStore):
    shown = Shown()
    with Printing(tmp_path / "logs", store, "job/logs", shown) as prints:
        for number in (0, 1):
            end = prints.open_pipe(number)
            os.write(end, b"from %d\n" % number)
            os.close(end)
    assert sorted(shown.lines) == [(0, "from 0"), (1, "from 1")]
    assert prints.tail(1) == "from 1"
    assert {path: store.read(path) for path in store.find("job")} == {
        "job/logs/worker-0.log": b"from 0\n",
        "job/logs/worker-1.log": b"from 1\n",
    }


def test_a_replacement_s_words_follow_those_of_the_worker_before_it(tmp_path: Path, store: RemoteStore):
    with Printing(tmp_path / "logs", store, "job/logs", None) as prints:
        for text in (b"first\n", b"second\n"):
            end = prints.open_pipe(0)
            os.write(end, text)
            os.close(end)
    assert sorted(store.read("job/logs/worker-0.log").splitlines()) == [b"first", b"second"]


def test_a_terminal_that_stands_still_blocks_no_script(tmp_path: Path, store: RemoteStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(printing, "FAREWELL_SECONDS", 0.05)
    stuck = threading.Event()
    try:
        with Printing(tmp_path / "logs", store, "job/logs", lambda _number, _line: bool(stuck.wait(60))) as prints:
            end = prints.open_pipe(0)
            for _ in range(64):
                os.write(end, b"x" * 65_535 + b"\n")  # would fill the pipe if nobody read it
            os.close(end)
        assert len(store.read("job/logs/worker-0.log")) == 64 * 65_536
    finally:
        stuck.set()
