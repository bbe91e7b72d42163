import io
import math
import sys

import numpy
import pytest

from airflow_batchinfer.worker.metrics import MOST_NAMES, Metrics


def logged(*entries: tuple[str, list[object]]) -> dict[str, list[object]]:
    metrics = Metrics()
    metrics.begin()
    for name, values in entries:
        metrics.note(name, values)
    return metrics.end()


def test_numbers_are_summed_up_and_the_last_value_is_kept():
    assert logged(("loss", [3]), ("loss", [1.5, 2])) == {"loss": [3, 6.5, 1.5, 3, 2]}


def test_text_is_counted():
    assert logged(("state", ["a"]), ("state", ["b"])) == {"state": [2, None, None, None, "b"]}


def test_numbers_and_text_may_stand_under_one_name():
    assert logged(("x", ["a", 4, "b"]), ("x", [2])) == {"x": [4, 6, 2, 4, 2]}
    assert logged(("x", [2]), ("x", ["a"])) == {"x": [2, 2, 2, 2, "a"]}
    assert logged(("x", ["a"]), ("x", [2])) == {"x": [2, 2, 2, 2, 2]}


@pytest.mark.parametrize("value", [numpy.float32(2.5), numpy.int64(2), numpy.array(3), True, numpy.bool_(True)])
def test_numbers_of_numpy_and_booleans_are_numbers(value: object):
    assert logged(("x", [value]))["x"][4] == value
    assert type(logged(("x", [value]))["x"][4]) in (int, float)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1 << 70, None, [1, 2], numpy.zeros(3), object()])
def test_anything_else_is_text(value: object):
    assert logged(("x", [value]))["x"][4] == str(value)


def test_long_text_is_cut():
    ((name, tally),) = logged(("n" * 1000, ["v" * 1000])).items()
    assert len(name) < 300
    assert len(str(tally[4])) < 300


def test_more_names_than_can_be_kept_are_shown_but_not_kept(capsys):
    found = logged(*((str(number), [number]) for number in range(MOST_NAMES + 1)))
    assert len(found) == MOST_NAMES
    assert f"metric {MOST_NAMES}: {MOST_NAMES}" in capsys.readouterr().out.splitlines()


def test_what_is_logged_outside_of_a_call_is_shown_and_belongs_to_none(capsys):
    metrics = Metrics()
    metrics.note("before", [1])
    metrics.begin()
    metrics.note("within", [2])
    assert metrics.end() == {"within": [1, 2, 2, 2, 2]}
    metrics.note("after", [3])
    metrics.begin()
    assert metrics.end() == {}
    assert capsys.readouterr().out.splitlines() == ["metric before: 1", "metric within: 2", "metric after: 3"]


def test_a_line_is_written_at_once_so_that_those_of_several_threads_do_not_mix(monkeypatch: pytest.MonkeyPatch):
    written: list[str] = []

    class Output(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Output())
    logged(("loss", [1, 2.5, "three"]), ("none", []))
    assert written == ["metric loss: 1 2.5 three\n", "metric none:\n"]
