"""Merge of results in named formats, over what nodes have committed."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from pyarrow import parquet

from airflow_batchinfer.engine.merge import merge
from airflow_batchinfer.engine.outputs import Settled
from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.engine.schema import Schema
from airflow_batchinfer.errors import ErrorBudgetSpent
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.worker.formats import rows_of
from airflow_batchinfer.workspace import Workspace
from tests.unit.engine.test_merge import Breaking, Desk, bad, make_desk

NAMES = ("rows.csv", "rows.jsonl", "rows.parquet")
MADE = {
    number: [{"number": number, "text": f"{number}, {part}", "late": "x" if number == 5 else None} for part in range(2)]
    for number in range(7)
}
EXPECTED = [row for rows in MADE.values() for row in rows]


@pytest.fixture(params=NAMES)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    return make_desk(tmp_path, append_row_file_name=request.param)


def settled(desk: Desk, schema: Schema, number: int, *parts: object) -> Settled:
    """A mini-batch whose rows were made in these parts."""
    made = []
    for part in parts:
        rows = rows_of(part, {"format": desk.job.spec.result_format}, [])
        columns = None if rows.schema is None else tuple((name, kind) for name, kind in rows.schema)
        made.append(Done(number, 1, rows.number, (), rows.text, rows.header_bytes, columns, named=rows.named))
    fit = schema.fit_parts(number, made, None) if len(made) > 1 else schema.fit(number, made[0])
    assert not fit.failure
    assert not fit.refused
    return Settled(number, succeeded=True, counts=Counts(1, 0, 1, 0, 2, 1), rows=fit.rows, header_bytes=fit.header_bytes)


def commit(desk: Desk, numbers: list[int], node: str = "node") -> None:
    """Of each mini-batch the rows, in the order in which they are given."""
    schema = Schema(desk.workspace.store, desk.folder, desk.job.spec.result_format)
    desk.commit({number: settled(desk, schema, number, MADE[number]) for number in numbers}, node=node)


def content(desk: Desk) -> bytes:
    return desk.read(desk.job.spec.append_row_file_name)


def test_the_bytes_do_not_depend_on_who_committed_what_in_which_order(tmp_path: Path):
    for name in NAMES:
        made = set()
        for orders in ([[*range(7)]], [[5, 6, 2, 3, 4], [0, 1]], [[6], [5, 4], [1, 0, 2, 3]]):
            (tmp_path / f"{name}-{len(made)}-{len(orders)}").mkdir()
            desk = make_desk(tmp_path / f"{name}-{len(made)}-{len(orders)}", append_row_file_name=name)
            for node, numbers in enumerate(orders):
                commit(desk, numbers, f"node-{node}")
            summary = merge(desk.workspace, desk.pin)
            assert (summary.output_bytes, summary.output_sha256) == (len(content(desk)), hashlib.sha256(content(desk)).hexdigest())
            made.add(content(desk))
        assert len(made) == 1


def test_merging_again_and_somewhere_else_gives_the_same_bytes(desk: Desk):
    commit(desk, list(range(7)))
    first = merge(desk.workspace, desk.pin)
    whole = content(desk)
    assert merge(desk.workspace, desk.pin).output_sha256 == first.output_sha256
    again = merge(desk.workspace, replace(desk.pin, reused=True, output_dir=f"{desk.pin.output_dir}/else"))
    assert (again.output_sha256, again.output_bytes) == (first.output_sha256, len(whole))
    assert desk.read(f"else/{desk.job.spec.append_row_file_name}") == content(desk) == whole


def test_a_mini_batch_that_was_made_in_parts_is_all_of_them(desk: Desk):
    schema = Schema(desk.workspace.store, desk.folder, desk.job.spec.result_format)
    desk.commit({number: settled(desk, schema, number, [rows[0]], [], [rows[1]]) for number, rows in MADE.items()})
    in_parts = merge(desk.workspace, desk.pin)
    assert in_parts.rows == 14
    if desk.job.spec.result_format == "parquet":
        assert parquet.read_table(io.BytesIO(content(desk))).to_pylist() == EXPECTED


def test_a_failed_mini_batch_leaves_no_trace_in_the_rows(desk: Desk):
    schema = Schema(desk.workspace.store, desk.folder, desk.job.spec.result_format)
    desk.commit({number: bad(number) if number == 3 else settled(desk, schema, number, rows) for number, rows in MADE.items()})
    with pytest.raises(ErrorBudgetSpent):
        merge(desk.workspace, desk.pin)
    assert desk.published() == []
    assert merge(desk.workspace, desk.allow(error_threshold=1)).rows == 12
    assert b"3, 1" not in content(desk)


def test_a_stream_that_breaks_off_is_begun_again(desk: Desk):
    commit(desk, list(range(7)))
    store = Breaking(fsspec.filesystem("memory"), desk.workspace.url.removeprefix("memory://"))
    merge(Workspace(store), desk.pin)
    again = content(desk)
    merge(desk.workspace, desk.pin)
    assert content(desk) == again


def test_parquet_holds_what_the_scripts_returned(tmp_path: Path):
    desk = make_desk(tmp_path, append_row_file_name="rows.parquet")
    commit(desk, [6, 5, 4, 3, 2, 1, 0])
    merge(desk.workspace, desk.pin)
    table = parquet.read_table(io.BytesIO(content(desk)))
    assert table.to_pylist() == EXPECTED
    assert [str(kind) for kind in table.schema.types] == ["int64", "string", "string"]
