import json
from uuid import uuid4

import fsspec
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.outputs import Settled, error_line, write_segment
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import RemoteStore
from airflow_batchinfer.workspace import JobFolder

FOLDER = JobFolder("job-1")
settled = st.builds(
    Settled,
    st.integers(0, 99),
    st.booleans(),
    st.just(Counts(1)),
    st.binary(max_size=9),
    st.integers(0, 3),
    st.binary(max_size=9),
    st.binary(max_size=9),
)


def memory() -> RemoteStore:
    return RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")


@given(st.lists(settled, unique_by=lambda each: each.mini_batch, max_size=8))
def test_each_piece_says_where_its_rows_metrics_and_errors_lie(given: list[Settled]):
    store = memory()
    segment, pieces = write_segment(store, FOLDER, "node", given)
    content = store.read(f"{FOLDER.segments}/{segment}") if segment else b""
    by_number = {each.mini_batch: each for each in given}
    assert [piece.mini_batch for piece in pieces] == sorted(by_number)
    for piece in pieces:
        source = by_number[piece.mini_batch]
        assert content[piece.rows_at :][: piece.rows_bytes] == source.rows
        assert content[piece.metrics_at :][: piece.metrics_bytes] == source.metrics
        assert content[piece.errors_at :][: piece.errors_bytes] == source.errors
        assert (piece.succeeded, piece.counts, piece.header_bytes) == (source.succeeded, source.counts, source.header_bytes)
    assert len(content) == sum(each.size_bytes for each in given)


def test_where_there_is_nothing_to_store_there_is_no_segment():
    store = memory()
    segment, pieces = write_segment(store, FOLDER, "node", [Settled(3, succeeded=True, counts=Counts(1))])
    assert segment is None
    assert len(pieces) == 1
    assert list(store.find("")) == []


def test_two_segments_of_one_node_have_two_names():
    store = memory()
    one = [Settled(3, succeeded=True, counts=Counts(1), rows=b"x\n")]
    assert write_segment(store, FOLDER, "node", one)[0] != write_segment(store, FOLDER, "node", one)[0]


def test_an_error_line_tells_what_failed_how_often_and_why():
    line = error_line(7, ["/a", "/caf\udce9"], 3, Failed("ValueError: \n no", "ValueError at x.py:3", "Traceback\n  ..."))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "mini_batch": 7,
        "items": ["/a", "/caf\udce9"],
        "items_failed": 2,
        "attempts": 3,
        "reason": "ValueError: \n no",
        "key": "ValueError at x.py:3",
        "traceback": "Traceback\n  ...",
    }


def test_where_nobody_knows_which_items_failed_the_line_says_how_many():
    assert json.loads(error_line(7, ["/a", "/b", "/c"], 1, Failed("too few", "too few"), 1))["items_failed"] == 1
