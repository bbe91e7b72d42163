"""JSON lines cut, settled and read by us, against all lines parsed one by one and pandas' own view of them together."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import Item, TableForm
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables import chunks
from airflow_batchinfer.tables.json_lines import JsonLinesCutter
from airflow_batchinfer.tables.slices import Slice, Window
from airflow_batchinfer.worker.tables import BadTable, read
from tests.unit.tables.csv_oracle import item

FORM = TableForm("json_lines")
TYPED = ("int64", "float64", "bool", "str")


class Cut:
    """A table that was cut; `frames` are its mini-batches."""

    def __init__(self, paths: list[Path], most_bytes: int | None, form: TableForm = FORM, window: Window | None = None, keys=()) -> None:
        cutter = JsonLinesCutter(form, most_bytes, keys)
        window = window or Window(0, None)
        self.found = [found for path in paths for found in cutter.cut(item(path), window)]
        self.slices: list[Slice] = [piece for _, piece in self.found]
        self.form = form
        self.columns = dict(cutter.columns)

    def read(self, piece: Slice, kept: list[str] | None = None) -> pd.DataFrame:
        told = {"kind": "json_lines", "encoding": self.form.encoding, "names": list(self.columns), "types": self.columns, "columns": kept}
        return read([list(piece)], told)

    @property
    def frames(self) -> list[pd.DataFrame]:
        return [self.read(piece) for piece in self.slices]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def in_pandas(values: list[Any]) -> pd.Series:
    """A column as pandas has it; where it has no type of its own for the values, or loses digits, of the objects that they are in JSON."""
    if {float} <= set(map(type, values)) <= {int, float, type(None)}:
        return pd.Series([value if value is None else float(value) for value in values], dtype="float64")
    if any(type(value) is int and not -(2**63) <= value < 2**63 for value in values):
        return pd.Series(values, dtype=object)
    try:
        column = pd.DataFrame([{"it": value} for value in values])["it"]
    except UnicodeEncodeError:
        column = None
    return column if str(getattr(column, "dtype", "")) in TYPED else pd.Series(values, dtype=object)


def assert_as_a_whole(frames: list[pd.DataFrame], records: list[dict[str, Any]], names: list[str]) -> None:
    """Every mini-batch has the columns and types of the whole, and together they hold what the lines do."""
    whole = {name: in_pandas([record.get(name) for record in records]) for name in names}
    types = {name: str(column.dtype) for name, column in whole.items()}
    for frame in frames:
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == types
        assert list(frame.columns) == names
        assert isinstance(frame.index, pd.RangeIndex)
    for name, kind in types.items():
        ours = [value for frame in frames for value in frame[name].tolist()]
        if kind == "object":
            expected = [record.get(name) for record in records]
            assert repr(ours) == repr(expected)  # 1, 1.0 and True are equal
        else:
            pd.testing.assert_series_equal(pd.Series(ours, dtype=kind), whole[name], check_names=False, check_index=False)


# Values of each kind that is told apart, and what makes parsers stumble.
INTEGERS = [0, 7, -1, 2**53 + 1, 2**63 - 1, -(2**63)]
LONG_INTEGERS = [2**63, 2**64, -(2**63) - 1, 10**30]
FLOATS = [1.5, -0.1, 1e300, 3.0, -0.0]
TEXTS = ["", "x", "é", "日本", "a\nb", "\u2028", '"', "\\ud", "2024-01-01T00:00:00Z", "1", "\0", "{", "},{", " "]
NESTED = [[], [1, None], {"a": 1}, {"a": {"b": [True]}}, [{}]]
KINDS: list[list[Any]] = [INTEGERS, LONG_INTEGERS, FLOATS, TEXTS, NESTED, [True, False], [None], ["\ud800"]]
names = st.sampled_from(["a", "b", "c c", "", "é", "index", "a.b"])
column_of_values = st.lists(st.sampled_from(KINDS), min_size=1, max_size=2).map(lambda kinds: [value for kind in kinds for value in kind])
line_ends = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\n \t\n"])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[dict[str, Any]]], str]:
    """The records of one to three files, and their text by a line end."""
    columns = draw(st.dictionaries(names, column_of_values, max_size=4))
    lacks = draw(st.booleans())
    files = []
    for _ in range(draw(st.integers(1, 3))):
        records = []
        for _ in range(draw(st.integers(0, 8))):
            record = {name: draw(st.sampled_from(values)) for name, values in columns.items() if not lacks or draw(st.integers(0, 3))}
            records.append(record)
        files.append(records)
    return files, draw(line_ends)


@given(tables(), st.integers(1, 200), st.integers(1, 60), st.booleans(), st.booleans())
def test_whatever_the_values_and_sizes_mini_batches_are_a_cut_of_the_whole(
    tmp_path_factory, case: tuple[list[list[dict[str, Any]]], str], most_bytes: int, chunk_bytes: int, ends_open: bool, escaped: bool
):
    files, line_end = case
    paths = []
    folder = tmp_path_factory.mktemp("json")
    for number, records in enumerate(files):
        lines = [json.dumps(record, ensure_ascii=escaped or "ud800" in json.dumps(record)) for record in records]
        text = line_end.join(lines) + ("" if ends_open else line_end)
        paths.append(write(folder / f"{number}.jsonl", ("\ufeff" if number == 1 else "") + text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        cut = Cut(paths, most_bytes)
    together = [record for records in files for record in records]
    assert list(cut.columns) == list(dict.fromkeys(name for record in together for name in record))
    assert_as_a_whole(cut.frames, together, list(cut.columns))
    for piece, frame in zip(cut.slices, cut.frames, strict=True):
        assert piece.rows == len(frame) > 0
        assert piece.stop - piece.start <= most_bytes or piece.rows == 1


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=12), st.integers(0, 14), st.none() | st.integers(0, 14), st.integers(1, 60))
def test_skip_and_take_cut_the_rows_over_all_files(tmp_path_factory, values: list[str], skip: int, take: int | None, most_bytes: int):
    folder = tmp_path_factory.mktemp("json")
    third = len(values) // 3
    files = [values[:third], values[third : 2 * third], values[2 * third :]]
    paths = [
        write(folder / f"{number}.jsonl{'.gz' if number == 1 else ''}", "".join(json.dumps({"a": value}) + "\n" for value in each))
        for number, each in enumerate(files)
    ]
    cut = Cut(paths, most_bytes, window=Window(skip, take))
    expected = values[skip:] if take is None else values[skip : skip + take]
    assert [value for frame in cut.frames for value in frame["a"].tolist()] == expected
    for piece, frame in zip(cut.slices, cut.frames, strict=True):
        whole = files[int(Path(piece.path).name[0])]
        assert frame["a"].tolist() == whole[piece.first : (piece.first or 0) + piece.rows]


def test_a_gzipped_file_is_one_mini_batch(tmp_path: Path):
    path = write(tmp_path / "a.jsonl.gz", "".join(f'{{"a": {number}}}\n' for number in range(100)))
    cut = Cut([path], 10)
    assert [piece.rows for piece in cut.slices] == [100]
    assert cut.frames[0]["a"].tolist() == list(range(100))


def test_a_column_that_comes_late_is_missing_before(tmp_path: Path):
    cut = Cut([write(tmp_path / "a.jsonl", '{"b": true}\n{"b": false, "a": 1}\n')], 13)
    assert cut.columns == {"b": "bool", "a": "float64"}
    assert [frame["a"].isna().tolist() for frame in cut.frames] == [[True], [False]]


def test_only_the_columns_that_are_kept_are_there_in_that_order(tmp_path: Path):
    cut = Cut([write(tmp_path / "a.jsonl", '{"a": 1, "b": 2, "c": 3}\n')], None)
    assert list(cut.read(cut.slices[0], ["c", "a"]).columns) == ["c", "a"]


def test_objects_without_keys_are_rows_without_columns(tmp_path: Path):
    cut = Cut([write(tmp_path / "a.jsonl", "{}\n{}\n")], None)
    assert (cut.columns, cut.frames[0].shape) == ({}, (2, 0))


def test_declared_types_count_and_what_is_no_text_is_text_as_json_has_it(tmp_path: Path):
    form = TableForm("json_lines", types=(("n", "str"), ("when", "datetime"), ("x", "float64")))
    text = (
        '{"n": 7, "when": "2024-01-02", "x": 1}\n{"n": true, "when": null, "x": 2}\n{"n": [1], "when": "2024-01-02T03:00:00+02:00", "x": 3}'
    )
    frame = Cut([write(tmp_path / "a.jsonl", text)], None, form).frames[0]
    assert frame["n"].tolist() == ["7", "true", "[1]"]
    assert frame.dtypes.astype(str).to_dict() == {"n": "str", "when": "datetime64[us]", "x": "float64"}
    assert list(map(str, frame["when"])) == ["2024-01-02 00:00:00", "NaT", "2024-01-02 01:00:00"]


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("int64", "1.5", "1.5 is no int64"),
        ("int64", "null", "null is no int64"),
        ("int64", str(2**63), f"{2**63} is no int64"),
        ("bool", "1", "1 is no bool"),
        ("float64", '"x"', '"x" is no float64'),
        ("float64", "true", "true is no float64"),
        ("datetime", '"soon"', '"soon" is no datetime'),
        ("datetime", "12", "12 is no datetime"),
    ],
)
def test_a_value_that_does_not_fit_a_declared_type_fails_its_mini_batch_and_is_named(tmp_path: Path, kind: str, value: str, told: str):
    good = {"int64": "1", "bool": "true", "float64": "1.5", "datetime": '"2024-01-01"'}[kind]
    path = write(tmp_path / "a.jsonl", "".join(f'{{"v": {each}}}\n' for each in (good, good, value, good)))
    cut = Cut([path], None, TableForm("json_lines", types=(("v", kind),)))
    with pytest.raises(BadTable) as raised:
        _ = cut.frames
    assert str(raised.value).startswith(f"{path}: row 2, column 'v': {told}; correct it, or declare another type")


def test_by_a_key_a_mini_batch_is_a_run_of_equal_values_whatever_its_size(tmp_path: Path):
    lines = [{"k": 1, "v": 0}, {"k": 1, "v": 1}, {"k": True, "v": 2}, {"v": 3}, {"k": None, "v": 4}, {"k": "x", "v": 5}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)))
    cut = Cut([path], None, keys=("k",))
    assert [(values, piece.first, piece.rows) for values, piece in cut.found] == [
        (("1",), 0, 2),
        (("true",), 2, 1),
        (("",), 3, 2),
        (("x",), 5, 1),
    ]
    assert [frame["v"].tolist() for frame in cut.frames] == [[0, 1], [2], [3, 4], [5]]


def test_a_key_that_comes_back_is_an_error_that_names_it_and_says_to_sort(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"k": 1}\n{"k": 2}\n{"k": 1}\n')
    with pytest.raises(ConfigError, match=r"a\.jsonl: row 2 has k='1' again.*sort the file by k"):
        Cut([path], None, keys=("k",))


def test_columns_that_are_asked_for_and_not_there_are_all_named(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"a": 1, "b": 2}\n')
    with pytest.raises(ConfigError) as raised:
        Cut([path], None, TableForm("json_lines", types=(("x", "str"), ("y", "str"))), keys=("k",))
    assert raised.value.faults == (
        "types: the table has no column 'x'; there are a, b",
        "types: the table has no column 'y'; there are a, b",
        "partition_keys: the table has no column 'k'; there are a, b",
    )


BROKEN = {
    "no JSON": ('{"a": 1,}', "is not JSON"),
    "an array": ("[1]", "is no JSON object"),
    "null": ("null", "is no JSON object"),
    "half": ('{"a": {"b": 1}', "is not JSON"),
    "two": ('{"a": 1}, {"a": 2}', "is not JSON"),
    "too much": ('{"a": 1} x', "is not JSON"),
    "a tab in text": ('{"a": "\t"}', "is not JSON"),
    "too deep": ('{"a": ' + "[" * 200_000, "is not JSON"),
    "too many digits": ('{"a": ' + "1" * 5000 + "}", "is not JSON"),
}


@pytest.mark.parametrize("chunk_bytes", [40, 1 << 20])
@pytest.mark.parametrize("name", BROKEN)
def test_a_line_that_is_no_json_object_is_named_with_its_number_and_text(
    tmp_path: Path, name: str, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
    line, told = BROKEN[name]
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n\r\n{"a": 22222222222222222222}\r{"a": [{"b": 3}]}\n' + line + '\n{"a": 4}\n')
    with pytest.raises(ConfigError) as raised:
        Cut([path], 100, window=Window(1, None))
    start = f"{line[:80]!r}"
    assert str(raised.value).startswith(f"{path}: line 5 {told}: {start}")
    assert "each line must be one" in str(raised.value)


TOGETHER = {
    "an array over two lines": (1, '{"a": [{"x": 1}\n{"y": 2}]}\n'),
    "as many objects as lines": (1, '{"a":1},{"a":2}\n{"a":3\n"b":4}\n'),
    "an object over two lines, and then two in one": (2, '{"a":0}\n{"a":3\n"b":4}\n{"a":1},{"a":2}\n'),
    "text over two lines": (1, '{"a":"x\ny"}\n{"a":1},{"a":2}\n'),
    "brackets that close and open": (1, '{"a":1}],[{"a":2}\n[{"a":3}\n{"a":4}]\n'),
    "an array that holds the next line": (2, '{"a":1}\n[{"a":3}\n{"a":4}]\n{"a":1}],[{"a":2}\n'),
    "a value over two lines": (1, '{"a":\n1}\n{"a":1},{"a":2}\n'),
}


@pytest.mark.parametrize("what", TOGETHER)
def test_lines_that_are_json_only_together_are_refused(tmp_path: Path, what: str):
    line, text = TOGETHER[what]
    with pytest.raises(ConfigError, match=rf"a\.jsonl: line {line} is not JSON"):
        Cut([write(tmp_path / "a.jsonl", text)], None)


def test_text_in_another_encoding_is_named_with_its_place(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"a": "x"}\n{"a": "é"}\n', "latin-1")
    with pytest.raises(ConfigError, match=r"a\.jsonl is not in utf-8: at byte 18 stands b'\\xe9.*give the encoding"):
        Cut([path], None)
    assert Cut([path], None, TableForm("json_lines", encoding="latin-1")).frames[0]["a"].tolist() == ["x", "é"]


def test_a_truncated_gzip_file_is_named(tmp_path: Path):
    path = write(tmp_path / "a.jsonl.gz", '{"a": "x"}\n' * 1000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"a\.jsonl\.gz is truncated"):
        Cut([path], None)


def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(chunks, "MOST_RECORD_BYTES", 10_000)
    path = write(tmp_path / "a.jsonl", '{"a": "' + "x" * 50_000)
    with pytest.raises(ConfigError, match="does not end within 10,000 bytes"):
        Cut([path], None)


def test_a_file_that_holds_other_rows_than_planned_fails_its_mini_batch(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2}\n')
    cut = Cut([path], None)
    with pytest.raises(BadTable, match="holds 2 rows where 3 were planned"):
        cut.read(cut.slices[0]._replace(rows=3))
    with pytest.raises(BadTable, match="row 0 and those below cannot be read"):
        cut.read(cut.slices[0]._replace(stop=cut.slices[0].stop - 4))


def test_the_item_s_version_is_in_every_slice(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n')
    (piece,) = Cut([path], None).slices
    assert Item(*piece[:3]) == item(path)
