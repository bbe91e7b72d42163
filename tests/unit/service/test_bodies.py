"""Bodies are read within limits, and what they hold is counted until it is let go."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from airflow_batchinfer.service.bodies import Bodies, BodyRefused

Receive = Callable[[], Awaitable[dict[str, object]]]


def coming(pieces: Iterator[bytes], taken: list[bytes] | None = None) -> Receive:
    async def receive() -> dict[str, object]:
        piece = next(pieces, None)
        if piece is None:
            await asyncio.Event().wait()
        if taken is not None:
            taken.append(piece or b"")
        return {"type": "http.request", "body": piece, "more_body": not (piece or b"").endswith(b"!")}

    return receive


def read(bodies: Bodies, receive: Receive, length: bytes | None = None):
    return asyncio.run(bodies.read(receive, length))


def test_a_body_in_pieces_comes_whole_and_counts_until_it_is_released():
    bodies = Bodies()
    held = read(bodies, coming(iter([b"a", b"b", b"c!"])))
    assert held.body == b"abc!"
    assert bodies.held_bytes == 4
    held.release()
    assert bodies.held_bytes == 0


def test_a_body_that_never_ends_is_read_no_further_than_the_limit():
    bodies, taken = Bodies(most_bytes=100), []
    with pytest.raises(BodyRefused) as refused:
        read(bodies, coming(iter(lambda: b"x" * 30, None), taken))
    assert (refused.value.status, len(taken), bodies.held_bytes) == (413, 4, 0)


@pytest.mark.parametrize("length", [b"101", b"-1", b"1x", b"9" * 30])
def test_what_says_that_it_is_too_long_is_not_read_at_all(length: bytes):
    taken: list[bytes] = []
    with pytest.raises(BodyRefused) as refused:
        read(Bodies(most_bytes=100), coming(iter([b"!"]), taken), length)
    assert (refused.value.status, taken) == (413, [])


def test_a_body_that_does_not_come_is_given_up():
    bodies = Bodies(seconds=0.01)
    with pytest.raises(BodyRefused) as refused:
        read(bodies, coming(iter([b"a", b"b"])))
    assert (refused.value.status, bodies.held_bytes) == (408, 0)


def test_all_bodies_together_hold_no_more_than_is_allowed():
    bodies = Bodies(most_bytes=100, most_held_bytes=150)
    first = read(bodies, coming(iter([b"x" * 99 + b"!"])))
    with pytest.raises(BodyRefused) as refused:
        read(bodies, coming(iter([b"y" * 60, b"!"])))
    assert (refused.value.status, bodies.held_bytes) == (503, 100)
    first.release()
    assert len(read(bodies, coming(iter([b"y" * 60, b"!"]))).body) == 61


def test_nobody_is_told_when_the_caller_has_gone():
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    with pytest.raises(BodyRefused) as refused:
        read(Bodies(), receive)
    assert refused.value.status == 0
