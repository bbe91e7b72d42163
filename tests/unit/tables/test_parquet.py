"""Parquet cut, settled and read by us, against the same files read at once by pandas."""

import datetime
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from airflow_batchinfer.datasets import Item, TableForm
from airflow_batchinfer.errors import ConfigError, NotFoundError
from airflow_batchinfer.tables.parquet import ParquetCutter
from airflow_batchinfer.tables.slices import Slice, Window
from airflow_batchinfer.worker.tables import BadTable, read
from tests.unit.tables.csv_oracle import item

FORM = TableForm("parquet")
TODAY = datetime.date(2026, 11, 21)


class Cut:
    """A table that was cut; `frames` are its mini-batches."""

    def __init__(self, paths: list[Path], most_bytes: int | None, window: Window | None = None, keys: tuple[str, ...] = ()) -> None:
        cutter = ParquetCutter(FORM, most_bytes, keys)
        window = window or Window(0, None)
        self.found = [found for path in paths for found in cutter.cut(item(path), window)]
        self.slices: list[Slice] = [piece for _, piece in self.found]
        self.columns = dict(cutter.columns)

    def read(self, piece: Slice, kept: list[str] | None = None) -> pd.DataFrame:
        return read([list(piece)], {"kind": "parquet", "names": list(self.columns), "types": self.columns, "columns": kept})

    @property
    def frames(self) -> list[pd.DataFrame]:
        return [self.read(piece) for piece in self.slices]


def write(path: Path, table: pa.Table, group_rows: int | None = None, **options: object) -> Path:
    parquet.write_table(table, path, row_group_size=group_rows or max(1, len(table)), **options)
    return path


def numbers(path: Path, count: int, group_rows: int | None = None, first: int = 0) -> Path:
    values = {"n": pa.array(range(first, first + count), pa.int64()), "text": pa.array(["x" * 100] * count, pa.string())}
    return write(path, pa.table(values), group_rows)


# Types of columns, with values that are not missing.
TYPES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [0, -1, 2**53 + 1, 2**63 - 1]),
    (pa.int8(), [0, -1]),
    (pa.uint64(), [0, 2**64 - 1]),
    (pa.float64(), [1.5, float("inf"), -0.0]),
    (pa.float32(), [1.5]),
    (pa.bool_(), [True, False]),
    (pa.string(), ["", "é", "a,b\n"]),
    (pa.large_string(), ["", "x"]),
    (pa.dictionary(pa.int8(), pa.string()), ["red", "blue", "green"]),
    (pa.dictionary(pa.int32(), pa.int64()), [7, 8]),
    (pa.binary(), [b"", b"\xff"]),
    (pa.timestamp("us"), [pd.Timestamp("2024-01-02 03:00"), pd.Timestamp("9999-01-01").as_unit("us")]),
    (pa.timestamp("ns", "Europe/Berlin"), [datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC)]),
    (pa.date32(), [datetime.date(2024, 1, 2)]),
    (pa.time64("us"), [datetime.time(1, 2, 3)]),
    (pa.duration("us"), [datetime.timedelta(seconds=5)]),
    (pa.decimal128(10, 2), [Decimal("1.50")]),
    (pa.list_(pa.string()), [[], ["a", None]]),
    (pa.struct([("s", pa.string())]), [{"s": "x"}, {"s": None}]),
    (pa.null(), [None]),
    (pa.list_(pa.int64()), [[], [1, 2], [2**53 + 1], [3, None]]),
    (pa.list_(pa.bool_(), 2), [[True, False], [True, None]]),
    (pa.struct([("n", pa.int32()), ("l", pa.list_(pa.int64()))]), [{"n": 1, "l": [1]}, {"n": 2, "l": None}, {"n": None, "l": [None]}]),
    (pa.list_(pa.struct([("b", pa.bool_()), ("d", pa.float64())])), [[{"b": True, "d": None}], [None], []]),
    (pa.map_(pa.string(), pa.int64()), [[("k", 1)], [("k", None)], []]),
]


@st.composite
def tables(draw: st.DrawFn) -> list[pa.Table]:
    """One to three tables of the same columns."""
    columns = draw(st.dictionaries(st.sampled_from(["a", "b", "a.b", "é", "index"]), st.sampled_from(TYPES), min_size=1, max_size=4))
    gaps = draw(st.booleans())
    found = []
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(st.integers(0, 12))
        values = {
            name: [draw(st.sampled_from([*known, None] if gaps else known)) for _ in range(rows)] for name, (_, known) in columns.items()
        }
        found.append(pa.table({name: pa.array(values[name], kind) for name, (kind, _) in columns.items()}))
    return found


def in_pandas(files: list[Path]) -> pd.DataFrame:
    """All files at once; of categories, whose numbers differ from file to file, the values."""
    whole = pa.concat_tables([parquet.read_table(file).unify_dictionaries() for file in files], promote_options="permissive")
    for number, field in enumerate(whole.schema):
        if pa.types.is_dictionary(field.type):
            whole = whole.set_column(number, field.name, whole.column(number).cast(field.type.value_type))
    return whole.combine_chunks().to_pandas()  # of structs pandas looks at each chunk for itself


@settings(max_examples=50)
@given(tables(), st.integers(1, 5), st.integers(1, 600), st.booleans())
def test_whatever_the_types_groups_and_sizes_mini_batches_are_a_cut_of_the_whole(
    tmp_path_factory, found: list[pa.Table], group_rows: int, most_bytes: int, with_statistics: bool
):
    folder = tmp_path_factory.mktemp("parquet")
    files = [write(folder / f"{n}.parquet", table, group_rows, write_statistics=with_statistics) for n, table in enumerate(found)]
    cut, whole = Cut(files, most_bytes), in_pandas(files)
    frames = cut.frames
    for frame in frames:
        assert frame.dtypes.to_dict() == whole.dtypes.to_dict()
        assert isinstance(frame.index, pd.RangeIndex)
        assert len(frame) > 0
    assert sum(map(len, frames)) == len(whole)
    if frames:
        together = pd.concat(frames, ignore_index=True)
        pd.testing.assert_frame_equal(together, whole)
        for name in whole.columns[whole.dtypes.eq(object)]:  # within lists and structs types are compared by what they look like
            assert list(map(repr, together[name])) == list(map(repr, whole[name]))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(1, 4), st.integers(0, 20), st.none() | st.integers(0, 20))
def test_skip_and_take_cut_the_rows_over_all_files(tmp_path_factory, counts: list[int], group_rows: int, skip: int, take: int | None):
    folder = tmp_path_factory.mktemp("parquet")
    files = [numbers(folder / f"{n}.parquet", count, group_rows, sum(counts[:n])) for n, count in enumerate(counts)]
    cut = Cut(files, 200, Window(skip, take))
    everything = list(range(sum(counts)))
    expected = everything[skip:] if take is None else everything[skip : skip + take]
    assert [value for frame in cut.frames for value in frame["n"].tolist()] == expected


def test_several_small_groups_are_one_slice_and_large_ones_several_of_about_equal_size(tmp_path: Path):
    small, large = numbers(tmp_path / "a.parquet", 1000, 10), numbers(tmp_path / "b.parquet", 1000)
    group_bytes = parquet.read_metadata(small).row_group(0).total_byte_size
    assert {piece.rows for piece in Cut([small], 4 * group_bytes).slices} == {40}
    total = parquet.read_metadata(large).row_group(0).total_byte_size
    assert [piece.rows for piece in Cut([large], total // 7).slices] == [125] * 8
    assert [piece.rows for piece in Cut([large], total).slices] == [1000]
    assert len(Cut([large], 1).slices) == 1000


def test_where_values_are_missing_is_known_from_the_statistics_or_from_a_look_and_holds_for_all_files(tmp_path: Path):
    full = pa.table({"n": [1, 2], "b": [True, False], "f": [1.5, 2.5]})
    gaps = pa.table({"n": [1, None], "b": pa.array([None, None], pa.bool_()), "f": [None, 1.5]})
    for with_statistics in (True, False):
        files = [
            write(tmp_path / f"{name}-{with_statistics}.parquet", table, write_statistics=with_statistics)
            for name, table in (("a", full), ("b", gaps), ("c", full))
        ]
        cut = Cut(files, 1 << 20)
        assert cut.columns == {"n": "float64", "b": "object", "f": "as it is"}
        assert [frame.dtypes.astype(str).tolist() for frame in cut.frames] == [["float64", "object", "float64"]] * 3
        assert cut.frames[0]["b"].tolist() == [True, False]


NESTED: dict[str, tuple[pa.DataType, Any, Any, str]] = {
    "a list": (pa.list_(pa.int64()), [1, 2], [1, None], "array([1., 2.])"),
    "a list without gaps": (pa.list_(pa.int64()), [1, 2], [], "array([1, 2])"),
    "a list that is missing": (pa.list_(pa.int64()), [1, 2], None, "array([1, 2])"),
    "a list of bools": (pa.list_(pa.bool_()), [True], [None], "array([True], dtype=object)"),
    "a list of a fixed size": (pa.list_(pa.int64(), 2), [1, 2], None, "array([1., 2.])"),
    "a list of lists": (pa.large_list(pa.list_(pa.int64())), [[1]], [[None]], "array([array([1.])], dtype=object)"),
    "a list of categories": (pa.list_(pa.dictionary(pa.int8(), pa.string())), ["x"], [None], "array(['x'], dtype=object)"),
    "a struct": (pa.struct([("x", pa.int64()), ("y", pa.int64())]), {"x": 1, "y": 2}, {"x": 1, "y": None}, "{'x': 1, 'y': 2.0}"),
    "a struct that is missing": (pa.struct([("x", pa.int64())]), {"x": 1}, None, "{'x': 1.0}"),
    "a struct of lists": (pa.struct([("x", pa.list_(pa.int8()))]), {"x": [1]}, {"x": [None]}, "{'x': array([1.])}"),
    "a map": (pa.map_(pa.string(), pa.int64()), [("k", 1)], [("k", None)], "[('k', 1.0)]"),
    "a map by day": (pa.map_(pa.date32(), pa.int64()), [(TODAY, 1)], [(TODAY, None)], f"[({TODAY!r}, 1.0)]"),
}


@pytest.mark.parametrize("with_statistics", [True, False])
@pytest.mark.parametrize("what", NESTED)
def test_nested_values_look_alike_in_every_mini_batch_and_as_in_the_whole(tmp_path: Path, what: str, with_statistics: bool):
    kind, full, gap, told = NESTED[what]
    table = pa.table({"s.x": [1, 2], "a": pa.array([full, gap], kind), "z": [1, None]})
    found = Cut([write(tmp_path / "a.parquet", table, 1, write_statistics=with_statistics)], 1)
    assert len(found.frames) == 2
    assert [list(frame.columns) for frame in found.frames] == [["s.x", "a", "z"]] * 2
    assert [repr(frame["a"].iloc[0]) for frame in found.frames] == [repr(value) for value in in_pandas([tmp_path / "a.parquet"])["a"]]
    assert repr(found.frames[0]["a"].iloc[0]) == told
    assert [str(frame["s.x"].dtype) for frame in found.frames] == ["int64", "int64"]
    apart = [write(tmp_path / f"{n}.parquet", table.slice(n, 1), write_statistics=with_statistics) for n in range(2)]
    assert repr(Cut(apart, 1).frames[0]["a"].iloc[0]) == told


def test_a_parquet_file_that_is_packed_once_more_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"a\.parquet\.GZ: a Parquet file is packed within, not as a whole; unpack it"):
        Cut([write(tmp_path / "a.parquet.GZ", pa.table({"a": [1]}))], None)


def test_files_whose_columns_are_in_another_order_are_read_in_the_order_of_the_first(tmp_path: Path):
    files = [
        write(tmp_path / "a.parquet", pa.table({"x": [1], "y": ["a"]})),
        write(tmp_path / "b.parquet", pa.table({"y": ["b"], "x": [2]})),
    ]
    assert [list(frame.columns) for frame in Cut(files, None).frames] == [["x", "y"], ["x", "y"]]


def test_only_the_columns_that_are_kept_are_there_in_that_order(tmp_path: Path):
    table = pa.table({"a": [1], "b": [2], "a.b": [3], "s": [{"x": 1}]})
    cut = Cut([write(tmp_path / "a.parquet", table)], None)
    assert cut.read(cut.slices[0], ["s", "a"]).to_dict("records") == [{"s": {"x": 1}, "a": 1}]
    # The same slice again, of which other columns were kept.
    assert cut.read(cut.slices[0]).columns.tolist() == ["a", "b", "a.b", "s"]


def test_an_index_that_pandas_stored_is_a_column(tmp_path: Path):
    pd.DataFrame({"v": [1, 2]}, index=pd.Index(["x", "y"], name="id")).to_parquet(tmp_path / "a.parquet")
    (frame,) = Cut([tmp_path / "a.parquet"], None).frames
    assert frame.to_dict("list") == {"v": [1, 2], "id": ["x", "y"]}


def test_text_that_is_stored_in_several_ways_is_text(tmp_path: Path):
    kinds = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
    files = [write(tmp_path / f"{n}.parquet", pa.table({"t": pa.array(["x"], kind)})) for n, kind in enumerate(kinds)]
    assert {str(frame["t"].dtype) for frame in Cut(files, None).frames} == {"str"}


def test_a_frame_may_be_written_to_and_what_is_kept_stays_as_it_is(tmp_path: Path):
    cut = Cut([numbers(tmp_path / "a.parquet", 10)], None)
    frame = cut.read(cut.slices[0])
    frame["n"] += 1
    frame.loc[0, "n"] = 99
    assert np.shares_memory(frame["n"].to_numpy(), cut.read(cut.slices[0])["n"].to_numpy()) is False
    assert cut.read(cut.slices[0])["n"].tolist() == list(range(10))


def test_a_row_group_is_decoded_once_for_the_slices_that_follow_each_other_in_it(tmp_path: Path):
    # So much work that a second time would show.
    path = write(tmp_path / "a.parquet", pa.table({"text": [f"{number:020d}" * 10 for number in range(20_000)]}), compression="gzip")
    cut = Cut([path], 1 << 16)
    assert len(cut.slices) > 30
    assert [frame["text"].iloc[0] for frame in cut.frames] == [f"{piece.start:020d}" * 10 for piece in cut.slices]
    # Zeros instead of what was decoded: only from what is kept can the other slices come.
    column = parquet.read_metadata(path).row_group(0).column(0)
    with path.open("r+b") as stream:
        stream.seek(column.data_page_offset)
        stream.write(bytes(column.total_compressed_size // 2))
    planned, changed = cut.slices[0].version, path.stat().st_mtime_ns
    os.utime(path, ns=(planned, planned))
    assert cut.read(cut.slices[1])["text"].iloc[0] == f"{cut.slices[1].start:020d}" * 10
    os.utime(path, ns=(changed, changed))
    with pytest.raises(BadTable, match=r"a\.parquet: rows 0 to \d+ cannot be read"):
        cut.read(cut.slices[0]._replace(version=changed))


def test_by_a_key_a_mini_batch_is_a_run_of_equal_values_whatever_its_size(tmp_path: Path):
    table = pa.table({"k": ["a", "a", None, "b", "b"], "d": [datetime.date(2024, 1, 1)] * 4 + [None], "v": [0, 1, 2, 3, 4]})
    cut = Cut([write(tmp_path / "a.parquet", table, 2)], None, keys=("k", "d"))
    assert [(values, piece.start, piece.rows) for values, piece in cut.found] == [
        (("a", "2024-01-01"), 0, 2),
        (("", "2024-01-01"), 2, 1),
        (("b", "2024-01-01"), 3, 1),
        (("b", ""), 4, 1),
    ]
    assert [frame["v"].tolist() for frame in cut.frames] == [[0, 1], [2], [3], [4]]
    window = Cut([tmp_path / "a.parquet"], None, Window(1, 3), ("k",))
    assert [(values, piece.start, piece.rows) for values, piece in window.found] == [(("a",), 1, 1), (("",), 2, 1), (("b",), 3, 1)]


def test_a_key_that_comes_back_is_an_error_that_names_it_and_says_to_sort(tmp_path: Path):
    path = write(tmp_path / "a.parquet", pa.table({"k": [1, 2, 1]}), 1)
    with pytest.raises(ConfigError, match=r"a\.parquet: row 2 has k='1' again.*sort the file by k"):
        Cut([path], None, keys=("k",))
    with pytest.raises(ConfigError, match="partition_keys: the table has no column 'x'; there are k"):
        Cut([path], None, keys=("x",))


DIFFERENT = {
    "a type": ({"a": [1.5], "b": ["x"]}, "'a' is double, there int64"),
    "one less": ({"a": [1]}, "it has no 'b'"),
    "one more": ({"a": [1], "b": ["x"], "c": [1]}, "a.parquet has no 'c'"),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_files_whose_columns_differ_are_both_named_with_the_difference(tmp_path: Path, name: str):
    columns, told = DIFFERENT[name]
    first = write(tmp_path / "a.parquet", pa.table({"a": [1], "b": ["x"]}))
    other = write(tmp_path / "b.parquet", pa.table(columns))
    with pytest.raises(ConfigError) as raised:
        Cut([first, other], None)
    assert str(raised.value).startswith(f"{other} has other columns than {first}: ")
    assert told in str(raised.value)


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pytest.raises(ConfigError, match=r"a\.parquet has several columns called 'a'"):
        Cut([write(tmp_path / "a.parquet", table)], None)


@pytest.mark.parametrize("damage", ["empty", "other", "truncated", "footer"])
def test_a_file_that_is_no_sound_parquet_is_named_with_a_remedy(tmp_path: Path, damage: str):
    path = numbers(tmp_path / "a.parquet", 5000, 100)
    whole = path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    content = {
        "empty": b"",
        "other": b"number,text\n" * 100,
        "truncated": whole[: len(whole) // 2],
        "footer": whole[: -length - 8] + b"\xff" * length + whole[-8:],
    }
    path.write_bytes(content[damage])
    with pytest.raises(ConfigError, match=r"a\.parquet is no sound Parquet file: .*\. Write or upload it again, or leave it out$"):
        Cut([path], None)


def test_damage_within_a_file_fails_the_mini_batches_that_it_is_in_and_no_others(tmp_path: Path):
    path = numbers(tmp_path / "a.parquet", 100, 10)
    column = parquet.read_metadata(path).row_group(4).column(0)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset : column.data_page_offset + 30] = b"\xff" * 30
    path.write_bytes(content)
    cut = Cut([path], 1)
    bad = []
    for piece in cut.slices:
        try:
            assert cut.read(piece)["n"].tolist() == list(range(piece.start, piece.stop))
        except BadTable as error:
            bad.append(piece)
            assert f"{path}: rows {piece.start} to {piece.stop - 1} cannot be read: " in str(error)  # noqa: PT017 - some are read
    assert {row for piece in bad for row in range(piece.start, piece.stop)} == set(range(40, 50))


def test_a_file_that_is_gone_is_named(tmp_path: Path):
    cutter = ParquetCutter(FORM, None, ())
    with pytest.raises(NotFoundError, match=r"gone\.parquet does not exist any more"):
        list(cutter.cut(Item(str(tmp_path / "gone.parquet"), 100, 1), Window(0, None)))


def test_a_file_without_rows_has_columns_and_no_mini_batch(tmp_path: Path):
    cut = Cut([numbers(tmp_path / "a.parquet", 0)], None)
    assert (cut.slices, list(cut.columns)) == ([], ["n", "text"])
