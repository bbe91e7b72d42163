import json
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.worker.framing import LENGTHS, Frame, Unpacker, pack, read_frame

headers = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=3), max_size=3)
frames = st.lists(st.tuples(headers, st.binary(max_size=40)), max_size=5)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:stop] for start, stop in pairwise(edges)]


@given(frames, st.lists(st.integers(0, 10_000), max_size=30))
def test_frames_come_out_whole_wherever_the_bytes_are_cut(given: list[Frame], places: list[int]):
    stream = b"".join(pack(*frame) for frame in given)
    unpacker = Unpacker()
    assert [frame for piece in cut(stream, places) for frame in unpacker.feed(piece)] == given


@given(frames)
def test_frames_come_out_whole_byte_by_byte_and_each_as_soon_as_it_is_complete(given: list[Frame]):
    unpacker = Unpacker()
    for frame in given:
        *before, last = pack(*frame)
        assert [found for byte in before for found in unpacker.feed(bytes([byte]))] == []
        assert list(unpacker.feed(bytes([last]))) == [frame]


@given(frames, st.integers(0, 10_000))
def test_a_blocking_reader_sees_the_same_frames_and_no_half_one(given: list[Frame], place: int):
    stream = b"".join(pack(*frame) for frame in given)
    reader = BytesIO(stream)
    assert [read_frame(reader) for _ in range(len(given) + 1)] == [*given, None]
    torn = BytesIO(stream[: place % (len(stream) + 1)])
    found = []
    while frame := read_frame(torn):
        found.append(frame)
    assert found == given[: len(found)]


def test_text_that_is_not_unicode_goes_through_a_header():
    assert list(Unpacker().feed(pack({"path": "caf\udce9", "half": "\ud83d"}))) == [({"path": "caf\udce9", "half": "\ud83d"}, b"")]


def test_a_large_payload_in_small_pieces_takes_linear_time():
    payload = bytes(32 << 20)
    stream = pack({"done": 1}, payload)
    unpacker = Unpacker()
    found = [frame for start in range(0, len(stream), 65_536) for frame in unpacker.feed(stream[start : start + 65_536])]
    assert found == [({"done": 1}, payload)]


def test_lengths_that_cannot_be_are_refused_before_anybody_waits_for_them():
    with pytest.raises(ValueError, match="a header of 4294967295 bytes"):
        list(Unpacker().feed(LENGTHS.pack(2**32 - 1, 0)))


def test_a_header_that_is_no_json_is_an_error_of_a_kind_that_the_engine_takes_for_nonsense():
    with pytest.raises(ValueError, match="Expecting property name") as raised:
        list(Unpacker().feed(LENGTHS.pack(3, 0) + b"{{{"))
    assert isinstance(raised.value, json.JSONDecodeError)
