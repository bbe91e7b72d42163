"""Where records end, against the same told byte by byte."""

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables import chunks, csv_records
from airflow_batchinfer.tables.csv_records import find_records, read_records
from tests.unit.tables.csv_oracle import nasty_bytes

separators = st.sampled_from([b",", b"\t", b"|", b"]", b"^"])


def by_hand(text: bytes, separator: bytes) -> tuple[list[int], list[bool]]:
    """One byte after the other, as pandas' parser does it."""
    ends: list[int] = []
    at, is_quoted, value_begins = 0, False, True
    while at < len(text):
        byte = text[at : at + 1]
        if is_quoted and byte == b'"':
            is_quoted = text[at + 1 : at + 2] == b'"'
            at += is_quoted
            value_begins = False
        elif not is_quoted and byte == b'"' and value_begins:
            is_quoted = True
        elif not is_quoted and byte in b"\r\n":
            at += text[at : at + 2] == b"\r\n"
            ends.append(at + 1)
            value_begins = True
        elif not is_quoted:
            value_begins = byte == separator
        at += 1
    if len(text) > (ends[-1] if ends else 0):
        ends.append(len(text))
    blanks = b" \t\r\n".replace(separator, b"")
    return ends, [bool(text[start:end].strip(blanks)) for start, end in pairwise([0, *ends])]


@given(nasty_bytes, separators, st.sampled_from([0, 1000]))
def test_records_end_where_a_parser_that_goes_byte_by_byte_says(text: bytes, separator: bytes, most_quotes_at_once: int):
    text = text.replace(b",", separator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_records, "_MOST_AT_ONCE", most_quotes_at_once)
        ends, filled = find_records(text, separator, is_last=True)
    assert (ends.tolist(), filled.tolist()) == by_hand(text, separator)


@given(nasty_bytes, st.integers(1, 30))
def test_records_do_not_depend_on_the_chunks_in_which_they_are_read(text: bytes, chunk_bytes: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(csv_records, "_lost_separator", lambda *_: None)
        read = list(read_records(io.BytesIO(text), "a.csv", b",", b"", 0))
    found = [(chunk.offset + int(end), bool(filled)) for chunk in read for end, filled in zip(chunk.ends, chunk.filled, strict=True)]
    assert found == list(zip(*by_hand(text, b","), strict=True))
    assert b"".join(chunk.text for chunk in read) == text
    assert [chunk.first for chunk in read] == [sum(chunk.rows for chunk in read[:number]) for number in range(len(read))]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (b'a,"two\nlines"\nb\n', [14, 16]),
        (b'"say ""hi\n"""\nb\n', [14, 16]),
        (b'in the mid"dle\nb\n', [15, 17]),
        (b'"closed" and "more\nb\n', [19, 21]),
        (b' "after a blank\nb\n', [16, 18]),
        (b"a\r\nb\rc\n\rd", [3, 5, 7, 8, 9]),
    ],
)
def test_a_quoted_line_break_never_ends_a_record_and_any_other_does(text: bytes, ends: list[int]):
    assert find_records(text, b",", is_last=True)[0].tolist() == ends


def test_a_carriage_return_at_the_end_of_a_chunk_is_kept_until_it_is_known_what_follows():
    assert find_records(b"a\nb\r", b",", is_last=False)[0].tolist() == [2]
    assert find_records(b"a\nb\r", b",", is_last=True)[0].tolist() == [2, 4]


@pytest.mark.parametrize("text", [b"\n", b"\r\n", b" \t\n", b"  "])
def test_a_line_of_blanks_is_no_row(text: bytes):
    assert find_records(text, b",", is_last=True)[1].tolist() == [False]
    assert find_records(b"\t\n", b"\t", is_last=True)[1].tolist() == [True]


class Endless(io.RawIOBase):
    """What never ends, and how much of it was read."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return b"x" * size


def test_a_record_that_never_ends_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(chunks, "MOST_RECORD_BYTES", 50_000)
    stream = Endless()
    with pytest.raises(ConfigError, match=r"a\.csv: the record at byte 0 does not end within 50,000 bytes; close its quote"):
        list(read_records(stream, "a.csv", b",", b"", 0))
    assert stream.given < 100_000


def test_the_separator_that_pandas_would_lose_behind_an_empty_line_is_an_error():
    for chunk_bytes in (1, 2, 3, 100):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError, match=r"a\.csv: the record at byte 5 begins with a sep"):
            patch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
            list(read_records(io.BytesIO(b"a,b\n\r,2\n"), "a.csv", b",", b"", 0))
