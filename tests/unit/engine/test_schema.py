"""The columns of a result, as nodes agree on them in a job's folder in memory."""

import json
from collections.abc import Sequence
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.engine.schema import Schema, read_columns
from airflow_batchinfer.errors import ScriptError
from airflow_batchinfer.storage import RemoteStore
from airflow_batchinfer.worker.kinds import Kind
from airflow_batchinfer.workspace import JobFolder

FOLDER = JobFolder("job")
Columns = Sequence[tuple[str, Kind]]
NUMBERS = [("id", "int64"), ("score", "float64")]


def new_store() -> RemoteStore:
    return RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")


def done(columns: Columns | None, text: bytes = b"") -> Done:
    return Done(0, 1, 1, (), text, 0, None if columns is None else tuple(columns))


def fits(schema: Schema, mini_batch: int, columns: Columns) -> bool:
    asked = done(columns)
    return schema.fits_at_once(asked) or not schema.fit(mini_batch, asked).failure


def misfit(schema: Schema, mini_batch: int, columns: Columns) -> Failed:
    found = schema.fit(mini_batch, done(columns)).failure
    assert found
    return found


@pytest.fixture
def store() -> RemoteStore:
    return new_store()


@pytest.fixture
def schema(store: RemoteStore) -> Schema:
    return Schema(store, FOLDER, "csv")


def test_the_first_mini_batch_fixes_the_columns(store: RemoteStore, schema: Schema):
    assert read_columns(store, FOLDER) is None
    assert fits(schema, 3, NUMBERS)
    assert fits(schema, 4, NUMBERS)
    assert read_columns(store, FOLDER) == NUMBERS
    assert store.children(FOLDER.schema) == ["00000.json"]


def test_a_result_without_columns_fits_always_and_fixes_nothing(store: RemoteStore, schema: Schema):
    for columns in (None, []):
        assert fits(schema, 0, columns)
    assert store.children(FOLDER.schema) == []


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ([("id", "int64")], "there is no column 'score'"),
        ([*NUMBERS, ("more", "int64")], "there is a column 'more'"),
        ([("id", "int64"), ("Score", "float64")], "there is no column 'score'"),
        ([("id", "int64"), ("score", "string")], "the column 'score' is string, not float64"),
        ([("id", "int64"), ("score", "float32")], "the column 'score' is float32, not float64"),
        ([("id", ["list", "int64"]), ("score", "float64")], "the column 'id' is list<int64>, not int64"),
    ],
)
def test_other_columns_are_a_bad_result_that_names_the_difference_and_both(schema: Schema, columns: Columns, what: str):
    assert fits(schema, 3, NUMBERS)
    failed = misfit(schema, 7, columns)
    assert failed.key == f"bad result: {what}"
    assert failed.reason.startswith(f"bad result: {what}. Columns of mini-batch 7: ")
    assert "; of mini-batch 3: id int64, score float64; let run() return the same columns" in failed.reason
    assert fits(schema, 8, NUMBERS)


def test_columns_go_by_their_names_whatever_their_order(store: RemoteStore, schema: Schema):
    assert fits(schema, 3, NUMBERS)
    assert fits(schema, 0, NUMBERS[::-1])
    assert store.children(FOLDER.schema) == ["00000.json"]


def test_halving_a_mini_batch_may_help_against_another_type_or_column_but_not_where_one_is_missing(schema: Schema):
    assert fits(schema, 0, NUMBERS)
    assert misfit(schema, 1, NUMBERS[:1]).indivisible
    assert not misfit(schema, 1, [*NUMBERS, ("more", "int64")]).indivisible
    assert not misfit(schema, 1, [("id", "float64"), ("score", "float64")]).indivisible


def test_hundreds_of_columns_are_not_all_told(schema: Schema):
    many = [(f"c{number}", "int64") for number in range(500)]
    assert fits(schema, 0, many)
    reason = misfit(schema, 1, [*many, ("x", "int64")]).reason
    assert "c29 int64 and 471 more" in reason
    assert len(reason) < 1000


def test_a_column_of_nulls_fits_any_type_and_is_settled_by_the_first_that_is_none(store: RemoteStore, schema: Schema):
    assert fits(schema, 0, [("id", None), ("score", None)])
    assert fits(schema, 1, [("id", "int64"), ("score", None)])
    assert fits(schema, 2, [("id", None), ("score", "float64")])
    assert fits(schema, 3, [("id", None), ("score", None)])
    assert read_columns(store, FOLDER) == NUMBERS
    assert store.children(FOLDER.schema) == ["00000.json", "00001.json", "00002.json"]
    assert misfit(schema, 4, [("id", "string"), ("score", None)]).key == "bad result: the column 'id' is string, not int64"


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (["list", None], ["list", "int64"], ["list", "int64"]),
        (
            ["struct", [["a", None], ["b", "int64"]]],
            ["struct", [["a", "string"], ["b", None]]],
            ["struct", [["a", "string"], ["b", "int64"]]],
        ),
        (["list", ["list", None]], ["list", ["list", "string"]], ["list", ["list", "string"]]),
    ],
)
def test_what_is_null_inside_lists_and_structs_is_settled_too(store: RemoteStore, schema: Schema, first: Kind, second: Kind, both: Kind):
    assert fits(schema, 0, [("x", first)])
    assert fits(schema, 1, [("x", second)])
    assert read_columns(store, FOLDER) == [("x", both)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["list", "int64"], ["list", "string"]),
        (["struct", [["a", "int64"]]], ["struct", [["b", "int64"]]]),
        (["struct", [["a", "int64"]]], ["struct", [["a", "string"]]]),
        (["list", "int64"], ["struct", [["a", "int64"]]]),
    ],
)
def test_lists_and_structs_of_other_things_are_others(schema: Schema, one: Kind, other: Kind):
    assert fits(schema, 0, [("x", one)])
    assert not fits(schema, 1, [("x", other)])


def test_nodes_agree_whoever_comes_first(store: RemoteStore):
    here, there = Schema(store, FOLDER, "csv"), Schema(store, FOLDER, "csv")
    assert fits(here, 0, [("id", None), ("score", None)])
    assert fits(there, 1, [("id", "int64"), ("score", None)])
    assert fits(here, 2, [("id", None), ("score", "float64")])
    assert fits(there, 3, NUMBERS)
    assert misfit(there, 4, [("id", "int64"), ("score", "string")])
    assert misfit(here, 4, [("id", "string"), ("score", None)])
    assert len(store.children(FOLDER.schema)) == 3
    assert read_columns(store, FOLDER) == NUMBERS


def test_a_node_that_died_after_it_had_fixed_the_columns_has_fixed_them(store: RemoteStore):
    for _ in range(2):
        assert fits(Schema(store, FOLDER, "csv"), 5, NUMBERS)
    assert store.children(FOLDER.schema) == ["00000.json"]


def test_where_an_earlier_mini_batch_of_the_input_would_have_fixed_other_columns_the_job_fails_and_says_so(schema: Schema):
    assert fits(schema, 7, NUMBERS)
    with pytest.raises(ScriptError) as raised:
        schema.fit(3, done([("id", "int64"), ("score", "string")]))
    told = str(raised.value)
    assert "in mini-batch 3 the column 'score' is string, not float64" in told
    assert "Columns of mini-batch 3: id int64, score string; of mini-batch 7: id int64, score float64" in told
    assert told.endswith("Mend the script: let run() return the same columns for every mini-batch")


def test_it_is_the_mini_batch_that_settled_the_column_that_counts(schema: Schema):
    assert fits(schema, 0, [("id", None), ("score", "float64")])
    assert fits(schema, 9, [("id", "int64"), ("score", None)])
    assert misfit(schema, 5, [("id", None), ("score", "string")])
    with pytest.raises(ScriptError):
        schema.fit(5, done([("id", "string"), ("score", None)]))


def outcome(batches: Sequence[Columns], order: Sequence[int], nodes: Sequence[int]) -> object:
    """What succeeded and with which columns, if the run did; `order` may hold a mini-batch several times, as tries do."""
    store = new_store()
    schemas = [Schema(store, FOLDER, "csv") for _ in range(3)]
    good: dict[int, bool] = {}
    try:
        for mini_batch, node in zip(order, nodes, strict=True):
            good[mini_batch] = fits(schemas[node], mini_batch, batches[mini_batch])
    except ScriptError:
        return None
    # A mini-batch has as many tries as it had; one that failed at its last is lost.
    return sorted(good.items()), sorted(read_columns(store, FOLDER) or [])  # their order in the result is the merge's affair


KINDS = st.sampled_from([None, "int64", "string", ["list", None], ["list", "int64"]])
BATCH = st.sampled_from(["ab", "ab", "ab", "ba", "a"]).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(name), KINDS) for name in names))
)


@given(st.lists(BATCH, min_size=2, max_size=6), st.data())
def test_p1_all_runs_that_succeed_have_the_same_columns_and_the_same_failures(batches: list[Columns], data: st.DataObject):
    found = []
    for _ in range(4):
        order = data.draw(st.permutations(range(len(batches))))
        nodes = data.draw(st.lists(st.integers(0, 2), min_size=len(batches), max_size=len(batches)))
        found.append(outcome(batches, order, nodes))
    in_order = outcome(batches, range(len(batches)), [0] * len(batches))
    assert in_order is not None
    assert {json.dumps(each) for each in found if each is not None} <= {json.dumps(in_order)}


def test_of_parquet_the_rows_become_an_arrow_stream_also_where_they_came_as_json(store: RemoteStore):
    schema = Schema(store, FOLDER, "parquet")
    as_json = done(NUMBERS, b"[[1,2],[0.5,null]]")
    rows = schema.fit(0, as_json).rows
    assert rows.startswith(b"\xff\xff\xff\xff")
    assert not schema.fits_at_once(as_json)
    assert schema.fits_at_once(done(NUMBERS, rows))
    assert schema.fit(1, done(NUMBERS, rows)).rows == rows


def test_rows_that_are_not_what_they_are_said_to_be_are_a_bad_result_and_fix_nothing(store: RemoteStore):
    schema = Schema(store, FOLDER, "parquet")
    failed = schema.fit(0, done(NUMBERS, b"[[100000000000000000000],[0.5]]")).failure
    assert failed
    assert failed.reason.startswith("bad result: the column 'id' cannot be written as Parquet: ")
    assert store.children(FOLDER.schema) == []
