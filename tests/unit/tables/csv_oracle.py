"""What CSV tests share: a table cut and read by us, the same read at once by pandas, and bytes that make parsers stumble."""

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import strategies as st

from airflow_batchinfer.datasets import Item, TableForm
from airflow_batchinfer.tables.csv_cutter import CsvCutter
from airflow_batchinfer.tables.slices import Slice, Window
from airflow_batchinfer.worker.tables import read


class Refused(Exception):
    """What pandas does not read, or makes an index of."""


def item(path: Path) -> Item:
    return Item(str(path), path.stat().st_size, path.stat().st_mtime_ns)


def told(form: TableForm, columns: tuple[tuple[str, str], ...], kept: list[str] | None = None) -> dict[str, Any]:
    """What a worker is told of a table."""
    names = [name for name, _ in columns]
    return {"kind": "csv", "separator": form.separator, "encoding": form.encoding, "names": names, "types": dict(columns), "columns": kept}


def cut(
    form: TableForm, paths: list[Path], most_bytes: int, window: Window | None = None
) -> tuple[list[Slice], tuple[tuple[str, str], ...]]:
    cutter = CsvCutter(form, most_bytes, ())
    slices = [piece for path in paths for _, piece in cutter.cut(item(path), window or Window(0, None))]
    return slices, cutter.columns


def cut_and_read(form: TableForm, paths: list[Path], most_bytes: int, window: Window | None = None) -> pd.DataFrame:
    """All mini-batches, one below the other."""
    slices, columns = cut(form, paths, most_bytes, window)
    frames = [read([list(piece)], told(form, columns)) for piece in slices]
    assert all((piece.first is None) or len(frame) == piece.rows for piece, frame in zip(slices, frames, strict=True))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[name for name, _ in columns])


def whole(form: TableForm, content: bytes) -> pd.DataFrame:
    """The same as pandas reads it at once."""
    options: dict[str, Any] = {"sep": form.separator, "header": 0 if form.header else None, "encoding": form.encoding, "low_memory": False}
    try:
        pd.read_csv(io.BytesIO(content), **options | {"header": None, "dtype": "str"})  # else it makes an index of what is too much
        frame = pd.read_csv(io.BytesIO(content), **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise Refused(str(error)) from error
    frame.columns = frame.columns.astype(str)
    return frame


# Values of every kind that pandas tells apart; many of them at its limits.
INTEGERS = ["0", "7", "-1", "+5", " 12 ", "007", "9007199254740993", str(2**63 - 1), str(-(2**63))]
LONG_INTEGERS = [str(2**63), str(2**64 - 1), str(2**64), str(-(2**63) - 1), "123456789012345678901234567890"]
FLOATS = ["1.5", "1e5", "3.", ".5", "inf", "1e400", "0.30000000000000004", "1.0"]
NEGATIVE_FLOATS = ["-0.1", "-Infinity", "-3."]
GAPS = ["", "NA", "nan", "NULL", "None", "#N/A"]
BOOLS = ["True", "False", "TRUE", "false"]
TEXTS = ["x", " x", "a,b", 'say "hi"', '"', '""', "two\nlines", "cr\rlf\r\nmore", "\t", "é", "日本", " ", "1 2", "True ", "\ufeff", "a\0b"]
# Not beside each other: pandas takes all that begins with a minus for an integer there.
KINDS = [INTEGERS, LONG_INTEGERS, FLOATS, GAPS, BOOLS, TEXTS], [INTEGERS, NEGATIVE_FLOATS, FLOATS, GAPS, BOOLS, TEXTS]

some_kinds = st.sampled_from(KINDS).flatmap(lambda kinds: st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
column_of_values = some_kinds.map(lambda kinds: [value for kind in kinds for value in kind])
line_ends = st.sampled_from(["\n", "\r\n", "\r"])
separators = st.sampled_from([",", "\t", ";", "|"])
# The bytes that parsers decide by, and a few more.
nasty_bytes = st.lists(
    st.sampled_from(
        [b'"', b'"', b",", b",", b"\n", b"\n", b"\r", b"\r\n", b" ", b"\t", b"a", b"1", b"\xef\xbb\xbf", b"\xc3\xa9", b'""', b"\0"]
    ),
    max_size=60,
).map(b"".join)


@st.composite
def written_tables(draw: st.DrawFn) -> tuple[TableForm, bytes]:
    """What a CSV writer makes of rows, with what writers do differently; now and then a row is ragged."""
    separator, line_end = draw(separators), draw(line_ends)
    columns = draw(st.lists(column_of_values, min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*(st.sampled_from(values) for values in columns)), max_size=12))
    header = draw(st.booleans())
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=separator,
        lineterminator=line_end,
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
    )
    if header:
        writer.writerow([draw(st.sampled_from(["a", "b", "b", "", "two\nlines", 'q"', " s"])) for _ in columns])
    for row in rows:
        writer.writerow(row[: draw(st.sampled_from([len(row)] * 9 + [1]))])
        out.write(draw(st.sampled_from([""] * 9 + [line_end, f"  {line_end}"])))
    text = out.getvalue()
    content = (b"\xef\xbb\xbf" if draw(st.booleans()) else b"") + text.encode()
    return TableForm("csv", separator=separator, header=header), content[: len(content) - draw(st.sampled_from([0, 0, 1]))]
