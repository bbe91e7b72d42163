"""The types that a column is settled to, told of examples; that they are those of pandas, test_csv_cutter says of any table."""

from pathlib import Path

import pytest

from airflow_batchinfer.datasets import TableForm
from airflow_batchinfer.tables import chunks
from airflow_batchinfer.tables.column_types import Marks, is_final, joined, settled
from tests.unit.tables.csv_oracle import cut, cut_and_read, whole

LARGEST, UNSIGNED, LONG, LOW = str(2**63 - 1), str(2**63), str(2**64), str(-(2**63) - 1)
SETTLED = [
    ("int64", ["1", "-2", LARGEST]),
    ("int64_with_gaps", ["1", "", "2"]),
    ("int64_with_gaps", ["1", "NA", LARGEST]),
    ("float64", ["1", "", "1.0"]),
    ("float64", ["1", "2", "2.5"]),
    ("float64", ["", "NA", "nan"]),
    ("float64", [UNSIGNED, "1.5"]),
    ("float64", ["1.5", LONG]),
    ("float64", [LOW, "1.5"]),
    ("uint64", ["1", UNSIGNED]),
    ("verbatim", [UNSIGNED, ""]),
    ("verbatim", [UNSIGNED, "-1"]),
    ("verbatim", [LONG, "NA", "1.5"]),
    ("verbatim", [LONG, "NA", "text"]),
    ("big_int", [LONG, "1"]),
    ("big_int", [LOW, ""]),
    ("big_int", [LONG, UNSIGNED, "", "-1"]),
    ("bool", ["True", "false"]),
    ("bool_with_gaps", ["True", ""]),
    ("str", ["True", "1"]),
    ("str", ["True", LONG]),
    ("str", ["1", "one"]),
    ("str", ["one", LONG]),
    ("str", [UNSIGNED, "one", ""]),
    ("str", ["", "one"]),
    ("str", ["1" * 5000, "1"]),
]


@pytest.mark.parametrize("chunk_bytes", [1, 1000])
@pytest.mark.parametrize(("kind", "values"), SETTLED, ids=range(len(SETTLED)))
def test_a_type_is_settled_by_all_rows_and_the_frames_are_as_pandas_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, values: list[str], chunk_bytes: int
):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
    form, path = TableForm("csv"), tmp_path / "a.csv"
    path.write_text("".join(f"{value},x\n" for value in ["value", *values]))
    assert cut(form, [path], 1)[1] == (("value", kind), ("x", "str"))
    assert cut_and_read(form, [path], 1).equals(whole(form, path.read_bytes()))


def test_once_text_always_text():
    final = [marks for marks in map(Marks, range(2 ** len(Marks))) if is_final(marks)]
    assert final
    assert all(settled(joined(marks, other)) == settled(marks) for marks in final for other in set(Marks) - {Marks.VERBATIM})
