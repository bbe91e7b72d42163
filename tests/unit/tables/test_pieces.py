from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.chunks import Chunk
from airflow_batchinfer.tables.csv_records import find_records
from airflow_batchinfer.tables.pieces import ByKey, BySize, Piece

TEXT = b"".join(b"x" * (number * 7 % 13) + b"\n" for number in range(60))


def chunk_of(text: bytes) -> Chunk:
    return Chunk(0, 0, text, *find_records(text, b",", is_last=True))


def chunks_of(text: bytes, bounds: set[int]) -> list[Chunk]:
    """The same records, in chunks that end behind these."""
    whole = chunk_of(text)
    edges = [0, *sorted(bounds), len(whole.ends)]
    return [whole.part(start, stop) for start, stop in pairwise(edges) if stop > start]


def by_size(text: bytes, most_bytes: int, bounds: set[int]) -> list[Piece]:
    cut = BySize(most_bytes)
    return [piece for chunk in chunks_of(text, bounds) for piece in cut.cut(chunk)] + list(cut.rest())


@given(st.integers(1, 200), st.sets(st.integers(1, 59)))
def test_pieces_are_the_same_whatever_the_chunks_and_as_large_as_they_may_be(most_bytes: int, bounds: set[int]):
    pieces = by_size(TEXT, most_bytes, bounds)
    assert pieces == by_size(TEXT, most_bytes, set())
    ends = find_records(TEXT, b",", is_last=True)[0].tolist()
    for piece in pieces:
        records = [end for end in ends if piece.start < end <= piece.stop]
        assert piece.stop - piece.start <= most_bytes or len(records) == 1
        following = [end for end in ends if end > piece.stop]
        assert not following or following[0] - piece.start > most_bytes


@given(st.integers(1, 200), st.sets(st.integers(1, 59)))
def test_every_row_is_in_one_piece_and_pieces_without_rows_are_none(most_bytes: int, bounds: set[int]):
    pieces = by_size(TEXT, most_bytes, bounds)
    rows = [line for line in TEXT.splitlines() if line]
    assert [piece.first for piece in pieces] == [sum(piece.rows for piece in pieces[:number]) for number in range(len(pieces))]
    assert [line for piece in pieces for line in TEXT[piece.start : piece.stop].splitlines() if line] == rows
    assert all(0 < piece.rows == len(TEXT[piece.start : piece.stop].split()) for piece in pieces)


def by_key(values: list[str], bounds: set[int]) -> list[Piece]:
    text = "".join(f"{value}\n" for value in values).encode()
    cut = ByKey("a.csv", ["key"])
    pieces = [piece for chunk in chunks_of(text, bounds) for piece in cut.cut(chunk, [chunk.text.decode().split()])]
    return pieces + list(cut.rest())


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.sets(st.integers(1, 5)))
def test_a_run_of_equal_keys_is_one_piece_whatever_the_chunks(lengths: list[int], bounds: set[int]):
    values = [str(number) for number, length in enumerate(lengths) for _ in range(length)]
    pieces = by_key(values, {bound for bound in bounds if bound < len(values)})
    assert [(piece.values, piece.rows) for piece in pieces] == [((str(number),), length) for number, length in enumerate(lengths)]
    assert [(piece.start, piece.stop) for piece in pieces] == [
        (2 * sum(lengths[:number]), 2 * sum(lengths[: number + 1])) for number in range(len(lengths))
    ]


@pytest.mark.parametrize("bounds", [set(), {1}, {2}, {3}])
def test_a_key_that_comes_back_is_an_error_that_says_to_sort(bounds: set[int]):
    with pytest.raises(ConfigError, match=r"a\.csv: row 3 has key='x' again, after rows with other values; sort the file by key"):
        by_key(["x", "x", "y", "x"], bounds)
