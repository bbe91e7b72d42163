"""The columns of mini-batches that are called in parts, from what a script returns to the bytes of the result; no process."""

import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from airflow_batchinfer.datasets import Item
from airflow_batchinfer.engine.fetching import Fetched
from airflow_batchinfer.engine.ledger import Failed, Ledger, Verdict
from airflow_batchinfer.engine.pending import Pending
from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.engine.result_file import Digesting, open_result
from airflow_batchinfer.engine.schema import Schema, read_columns
from airflow_batchinfer.errors import ScriptError
from airflow_batchinfer.planning.lines import line_of_files
from airflow_batchinfer.planning.thresholds import Counts, Thresholds
from airflow_batchinfer.storage import RemoteStore
from airflow_batchinfer.worker.formats import rows_of
from airflow_batchinfer.worker.rows import BadResult
from airflow_batchinfer.workspace import JobFolder

if TYPE_CHECKING:
    from airflow_batchinfer.engine.outputs import Settled

FOLDER = JobFolder("job")
RAISES = "the script raises for this item"


class Job:
    """A job in memory: what each item of its mini-batches becomes, unless the script raises for it."""

    def __init__(self, result_format: str, mini_batches: Sequence[Sequence[Any]]) -> None:
        self.format = result_format
        self.mini_batches = mini_batches
        self.store = RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")
        self.settled: dict[int, Settled] = {}

    def score(self, order: Sequence[int] | None = None) -> "Job":
        """All of its mini-batches, one after the other."""
        schema = Schema(self.store, FOLDER, self.format)
        for number in order or range(len(self.mini_batches)):
            for _ in self.steps(number, schema):
                pass
        return self

    def steps(self, number: int, schema: Schema) -> Iterator[None]:
        """Score one as the coordinator does; whoever drives this may let others go on between any two steps."""
        values = self.mini_batches[number]
        names = [Item(f"{number}-{place}", 1, 1) for place in range(len(values))]
        pending = Pending(number, line_of_files(names), Fetched(number, b""))
        ledger = Ledger(Thresholds(-1), 1, isolates=True)
        while number not in self.settled:
            part = pending.call.part
            pending.enter(self._run(number, values[part.start : part.stop] if part else values))
            yield
            while pending.must_be_fitted(schema.fits_at_once):
                pending.take(
                    schema.fit_parts(number, pending.parts, pending.basis) if pending.is_isolated else schema.fit(number, pending.parts[0])
                )
                yield
            if pending.is_isolating:
                ledger.judge_part(number, pending.items_failed, Counts())
                continue
            outcome = pending.outcome
            verdict, counts = ledger.judge(number, pending.items, outcome, Counts())
            if verdict is Verdict.ISOLATE:
                assert isinstance(outcome, Failed)
                pending.isolate(outcome, counts.attempts)
            else:
                self.settled[number] = pending.settled(counts)

    def _run(self, number: int, values: Sequence[Any]) -> Done | Failed:
        if RAISES in values:
            return Failed("ValueError: raises", "ValueError")
        try:
            rows = rows_of(list(values), {"format": self.format}, [])
        except BadResult as error:
            return Failed(f"bad result: {error}", "bad result")
        schema = None if rows.schema is None else tuple((name, kind) for name, kind in rows.schema)
        return Done(number, len(values), rows.number, (), rows.text, rows.header_bytes, schema, named=rows.named)

    @property
    def failed(self) -> dict[str, str]:
        """The items that failed, with the reason."""
        errors = [json.loads(line) for _, settled in sorted(self.settled.items()) for line in settled.errors.splitlines()]
        return {item: error["reason"] for error in errors for item in error["items"]}

    @property
    def result(self) -> bytes:
        target = io.BytesIO()
        result = open_result(self.format, Digesting(target), read_columns(self.store, FOLDER))
        for _, settled in sorted(self.settled.items()):
            if settled.rows:
                result.add(settled.rows, settled.header_bytes)
        result.finish()
        result.close()
        return target.getvalue()

    @property
    def rows(self) -> list[Any]:
        if self.format == "parquet":
            return parquet.read_table(io.BytesIO(self.result)).to_pylist()
        return self.result.decode().splitlines()


def job(result_format: str, *mini_batches: Sequence[Any]) -> Job:
    return Job(result_format, mini_batches).score()


FRACTIONS = [*(number / 7 for number in range(1, 20)), *[1] * 20]


def test_whole_numbers_in_one_half_and_fractions_in_the_other_are_one_column():
    values = [*FRACTIONS[:13], RAISES, *FRACTIONS[13:]]
    found = job("parquet", values, FRACTIONS)
    assert list(found.failed) == ["0-13"]
    assert found.rows == [{"result": float(value)} for value in FRACTIONS * 2]


@pytest.mark.parametrize("result_format", ["csv", "jsonl", "parquet"])
def test_a_key_that_only_some_parts_have_is_missing_in_the_others(result_format: str):
    values = [{"a": number, **({"note": f"n,{number}"} if number > 4 else {})} for number in range(8)]
    found = job(result_format, [*values[:2], RAISES, *values[2:]])
    assert list(found.failed) == ["0-2"]
    if result_format == "parquet":
        assert found.rows == [{"note": None, **value} for value in values]
    elif result_format == "csv":
        assert found.rows == ["a,note", *(f'{n},"n,{n}"' if n > 4 else f"{n}," for n in range(8))]
    else:
        assert list(map(json.loads, found.rows)) == values


def test_the_item_of_another_type_costs_itself_whichever_came_first():
    for place in range(3):
        values: list[Any] = [0.5, 0.5, 0.5]
        values[place] = "no score"
        found = job("parquet", values, [0.5] * 3, [0.25])
        assert list(found.failed) == [f"0-{place}"]
        assert found.rows == [{"result": 0.5}] * 5 + [{"result": 0.25}]
    (reason,) = found.failed.values()
    assert reason.startswith("bad result: the column 'result' is string, not float64")


def test_what_earlier_mini_batches_have_fixed_goes_before_what_most_items_have():
    found = job("parquet", [1.5], ["a", "b", 2.5])
    assert list(found.failed) == ["1-0", "1-1"]
    assert found.rows == [{"result": 1.5}, {"result": 2.5}]


def test_an_item_with_a_key_too_many_or_without_columns_costs_itself():
    found = job("csv", [{"a": 1}], [{"a": 2}, {"a": 3, "z": 4}, {"a": 5}, "none", {"a": 6}])
    assert found.failed.keys() == {"1-1", "1-3"}
    assert found.rows == ["a", "1", "2", "5", "6"]


def test_dicts_in_json_lines_beside_a_plain_value_cost_the_value():
    found = job("jsonl", [{"a": 2}, {"b": 3}, "none", {"a": 6}])
    assert list(found.failed) == ["0-2"]
    assert list(map(json.loads, found.rows)) == [{"a": 2}, {"b": 3}, {"a": 6}]


@pytest.mark.parametrize("result_format", ["csv", "parquet"])
def test_the_order_of_the_columns_is_that_of_the_first_mini_batch_of_the_inputs(result_format: str):
    rows = [{"a": 1, "b": "x,y"}], [{"b": "z", "a": 2}], [{"b": "u", "a": 3}, RAISES, {"a": 4, "b": 'v"\r\nw'}]
    found = {Job(result_format, rows).score(order).result for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0])}
    assert len(found) == 1
    if result_format == "csv":
        assert found == {b'a,b\r\n1,"x,y"\r\n2,z\r\n3,u\r\n4,"v""\r\nw"\r\n'}


def test_decimals_of_all_magnitudes_are_one_column_and_too_many_digits_a_bad_result():
    small, large, too_large = Decimal("1.10"), Decimal(12), Decimal(f"1e{36}")
    found = job("parquet", [small], [large, RAISES, Decimal("0.125")], [too_large])
    assert list(found.failed) == ["1-1", "2-0"]
    assert found.rows == [{"result": Decimal(value)} for value in ("1.100", "12.000", "0.125")]
    assert "both in one column need 40 digits, and Parquet has 38: round them" in found.failed["2-0"]


def test_rows_that_never_come_out_fix_nothing():
    found = job("parquet", ["text", RAISES, RAISES, 0.5, 0.5], [0.5])
    assert found.failed.keys() == {"0-0", "0-1", "0-2"}
    assert read_columns(found.store, FOLDER) == [("result", "float64")]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_a_column_that_a_later_mini_batch_left_open_is_what_an_earlier_one_made_it(order: list[int]):
    found = Job("parquet", [[1], [1, 2.5], [None]]).score(order)
    assert found.failed.keys() == {"1-1"}
    assert found.rows == [{"result": 1}, {"result": 1}, {"result": None}]


VALUES = st.sampled_from([1, 1, 2.5, 2.5, None, "a", RAISES, Decimal("1.5"), [], [1], ["a"]])
ITEMS = st.one_of(
    VALUES,
    st.fixed_dictionaries({"x": VALUES.filter(lambda value: value != RAISES)}, optional={"y": st.sampled_from([1, "b", None, {"p": 1}])}),
    st.fixed_dictionaries({"x": st.sampled_from([1, 2.5])}),
)
BATCHES = st.one_of(
    st.lists(st.lists(ITEMS, min_size=1, max_size=6), min_size=2, max_size=4),
    st.lists(st.lists(st.sampled_from([1, 2.5, "a", RAISES, None]), min_size=1, max_size=6), min_size=2, max_size=4),
    st.lists(
        st.lists(
            st.fixed_dictionaries({"x": st.sampled_from([1, 2.5, "a", None]), "y": st.sampled_from(["b", 1, None])}), min_size=1, max_size=6
        ),
        min_size=2,
        max_size=4,
    ),
)


def interleaved(result_format: str, batches: list[list[Any]], data: st.DataObject) -> object:
    """What comes of it, if the job does not fail, where several nodes take steps in any order."""
    found = Job(result_format, batches)
    schemas = [Schema(found.store, FOLDER, result_format) for _ in range(2)]
    going = [found.steps(number, schemas[data.draw(st.integers(0, 1))]) for number in range(len(batches))]
    try:
        while going:
            chosen = data.draw(st.sampled_from(going))
            if next(chosen, "ended") == "ended":
                going.remove(chosen)
    except ScriptError:
        return None
    return found.failed.keys(), found.result


@given(BATCHES, st.sampled_from(["csv", "parquet"]), st.data())
def test_p1_all_runs_that_succeed_have_the_same_rows_and_the_same_failures(
    batches: list[list[Any]], result_format: str, data: st.DataObject
):
    in_order = Job(result_format, batches).score()
    expected = in_order.failed.keys(), in_order.result
    for _ in range(3):
        assert interleaved(result_format, batches, data) in (None, expected)


def test_where_an_earlier_mini_batch_comes_while_parts_are_halved_the_isolation_begins_anew():
    found = Job("parquet", [["b"], ["b", 1, 1]])
    isolating = found.steps(1, Schema(found.store, FOLDER, "parquet"))
    # All of it, four parts, and the judgement that the text is the odd one.
    for _ in range(1 + 4 + 1):
        next(isolating)
    for _ in found.steps(0, Schema(found.store, FOLDER, "parquet")):
        pass
    for _ in isolating:
        pass
    assert found.failed.keys() == {"1-1", "1-2"}
    assert found.rows == [{"result": "b"}] * 2


def test_a_part_of_several_items_that_does_not_fit_is_halved_on():
    found = job("parquet", [1], [1, 2, 3, 4, 5.5, 6, 7, 8])
    assert list(found.failed) == ["1-4"]
    assert found.rows == [{"result": number} for number in (1, 1, 2, 3, 4, 6, 7, 8)]
