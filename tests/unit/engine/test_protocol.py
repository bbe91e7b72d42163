import json
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.engine.isolation import Part
from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.protocol import (
    Asked,
    AttemptFailed,
    Call,
    Done,
    Garbled,
    InitFailed,
    Ready,
    Start,
    Unusable,
    answer_frame,
    read_answer,
    run_frame,
    shutdown_frame,
    start_frame,
)
from airflow_batchinfer.engine.tallies import Tally
from airflow_batchinfer.worker.framing import read_frame

FAILURE = {"reason": "ValueError: no", "key": "ValueError at score.py:3", "traceback": "Traceback ..."}
FAILED = Failed("ValueError: no", "ValueError at score.py:3", "Traceback ...")


def test_each_answer_of_a_worker_is_a_value():
    done = {"done": 7, "items": 3, "rows": 2, "header_bytes": 4, "lost": [["/a", "gone"]]}
    assert read_answer((done, b"rows")) == Done(7, 3, 2, (("/a", "gone"),), b"rows", 4)
    assert read_answer(({**FAILURE, "failed": 7}, b"")) == AttemptFailed(7, FAILED)
    assert read_answer(({"ready": 1.5}, b"")) == Ready(1.5)
    assert read_answer(({**FAILURE, "init_failed": True}, b"")) == InitFailed(FAILED)
    assert read_answer(({"unusable": "has no run"}, b"")) == Unusable("has no run")


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"hello": 1},
        {"done": 7},
        {"failed": 7},
        {"init_failed": True},
        {"done": 7, "items": 3, "rows": 2, "header_bytes": 4, "lost": [["/a"]]},
        {"done": 7, "items": 3, "rows": 2, "header_bytes": 4, "lost": 3},
        {"done": "7", "items": 3, "rows": 2, "header_bytes": 4, "lost": []},
        {"done": 7, "items": -3, "rows": 2, "header_bytes": 4, "lost": []},
        {"done": 7, "items": 3, "rows": 2.5, "header_bytes": 4, "lost": []},
        {"done": 7, "items": 3, "rows": True, "header_bytes": 4, "lost": []},
        [],
        {"done": 7, "items": 1, "rows": 1, "lost": [], "header_bytes": 0, "metrics": ["loss"]},
        {"done": 7, "items": 1, "rows": 1, "lost": [], "header_bytes": 0, "metrics": {"loss": "abcde"}},
        {"done": 7, "items": 1, "rows": 1, "lost": [], "header_bytes": 0, "metrics": {"loss": [1, 2]}},
        {"ask": -1, "question": {}},
        {"ask": 1, "question": "text"},
        "text",
        None,
        3,
    ],
    ids=json.dumps,
)
def test_anything_else_is_nonsense(header: object):
    with pytest.raises(Garbled):
        read_answer((header, b""))  # type: ignore[arg-type]


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8)
)
def test_no_header_is_worse_than_nonsense(header: object):
    try:
        read_answer((header, b""))  # type: ignore[arg-type]
    except Garbled:
        return


def test_the_frames_of_a_node_are_those_that_a_worker_reads():
    start = Start("/s/score.py", "/s", ("--a", "b\udce9"), appends_rows=True, to_csv={"sep": ","}, logging_level="INFO")
    start = replace(start, result_format="csv", include_item=True, azureml_compat="true", tensorflow_v1="false", surroundings={"job": "j"})
    line, part = b'[["/a",1,2]]\n', Call(8, Part(0, 5, 9))
    answered = answer_frame(3, {"models": []})
    stream = BytesIO(start_frame(start) + run_frame(Call(7), line) + run_frame(part, line) + answered + shutdown_frame())
    told = {
        "script": "/s/score.py",
        "source": "/s",
        "arguments": ["--a", "b\udce9"],
        "append_row": True,
        "to_csv": {"sep": ","},
        "logging_level": "INFO",
        "tables": [],
        "format": "csv",
        "include_item": True,
        "azureml_compat": "true",
        "tensorflow_v1": "false",
        "surroundings": {"job": "j"},
    }
    runs = [({"run": 7}, line), ({"run": 8, "part": [0, 5, 9]}, line), ({"answered": 3, "answer": {"models": []}}, b"")]
    assert [read_frame(stream) for _ in range(6)] == [(told, b""), *runs, ({"shutdown": True}, b""), None]


def test_a_worker_may_ask_at_any_time():
    assert read_answer(({"ask": 2, "question": {"model": "m"}}, b"")) == Asked(2, {"model": "m"})


def test_what_a_script_logged_comes_with_its_rows():
    header = {"done": 7, "items": 1, "rows": 1, "lost": [], "header_bytes": 0, "metrics": {"loss": [2, 3.5, 1, 2.5, 2.5]}}
    answer = read_answer((header, b"a\n"))
    assert isinstance(answer, Done)
    assert answer.metrics == {"loss": Tally(2, 3.5, 1, 2.5, 2.5)}


def test_a_failure_says_whether_halving_could_tell_more():
    assert read_answer(({**FAILURE, "failed": 7, "indivisible": True}, b"")) == AttemptFailed(7, replace(FAILED, indivisible=True))
