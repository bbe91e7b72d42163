"""Bytes that are no request, or nearly one: drawn by a seed, so that what fails once can be sent again."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 20_000
_ODD = [b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b"\t", b"\xff", b"\x7f"]
_ODD += [b"%", b"%00", b"%ff", b"..", b"//", b"-1", b"1e9", b"0x"]
_HEADERS = [
    b"content-length: -1",
    b"content-length: 5, 5",
    b"content-length: 99999999999999999999",
    b"content-length: 7",
    b"content-length: 0",
    b"transfer-encoding: chunked",
    b"transfer-encoding: gzip, chunked",
    b"transfer-encoding: identity",
    b"transfer-encoding : chunked",
    b"expect: 100-continue",
    b"expect: the-unexpected",
    b"connection: close",
    b"connection: upgrade\r\nupgrade: websocket",
    b"connection: keep-alive, close",
    b"x-request-id: \x80\xff",
    b"x-request-id: a\tb",
    b"x-request-id: " + b"i" * 101,
    b"x-request-id:",
    b"content-type: \xff",
    b"authorization: Bearer",
    b"authorization: Bearer \xff\xfe",
    b"authorization: Basic YTpi",
    b" folded: on",
    b"no colon",
    b": no name",
    b"x: " + b"y" * 9_000,
]
_TARGETS = [b"/score", b"/score?a=%ff&b", b"/score?" + b"a=1&" * 500, b"/score/../metrics", b"/score#x", b"/sc\xfcre"]
_TARGETS += [b"/", b"*", b"//", b"", b"/%00", b"http://x/score", b"/metrics", b"/swagger.json?version=9", b"/?" + b"x" * 9_000]
_METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"get", b"G\xffT", b"PRI", b""]
_VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b"HTTP/1.1 ", b""]
_CHUNKS = [b"5\r\nabcde\r\n", b"0\r\n\r\n", b"5;x=y\r\nabcde\r\n", b"5\r\nabcdefgh\r\n", b"0\r\nx: y\r\n\r\n"]
_CHUNKS += [b"FFFFFFFFFFFFFFFFF\r\n", b"-1\r\n", b"zz\r\n"]
# Most parts are good, or nothing would get far.
_GOOD = 10


def garbage(seed: str, key: str) -> list[bytes]:
    """What this seed sends, piece by piece."""
    drawn = random.Random(seed)  # noqa: S311 - drawn again by its seed
    kinds: list[Callable[[random.Random, str], bytes]] = [_noise, _mutated, _mutated, _assembled, _assembled, _assembled]
    whole = b"".join(drawn.choice(kinds)(drawn, key) for _ in range(drawn.choice((1, 1, 1, 2, 5))))[:MOST_BYTES]
    cuts = sorted(drawn.randint(0, len(whole)) for _ in range(drawn.choice((0, 0, 1, 4))))
    return [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]


def _noise(drawn: random.Random, _: str) -> bytes:
    return drawn.randbytes(drawn.choice((1, 10, 300, 5_000)))


def _mutated(drawn: random.Random, key: str) -> bytes:
    """A good request with some bytes changed, left out, repeated or put in."""
    request = bytearray(good_request(key))
    for _ in range(drawn.randint(1, 6)):
        at = drawn.randrange(len(request))
        to = min(len(request), at + drawn.choice((1, 1, 4, 30)))
        match drawn.randrange(5):
            case 0:
                request[at:to] = drawn.randbytes(to - at)
            case 1:
                del request[at:to]
            case 2:
                request[at:at] = request[at:to]
            case 3:
                request[at:at] = drawn.choice(_ODD)
            case _:
                request[at] ^= 1 << drawn.randrange(8)
        if not request:
            break
    return bytes(request)


def _assembled(drawn: random.Random, key: str) -> bytes:
    """Parts of requests, each of which may be wrong."""
    line = b" ".join(
        drawn.choice(good * _GOOD + some) for good, some in ((_METHODS[:2], _METHODS), (_TARGETS[:1], _TARGETS), (_VERSIONS[:1], _VERSIONS))
    )
    headers = [b"host: x", f"authorization: Bearer {key}".encode(), *drawn.sample(_HEADERS, drawn.randint(0, 3))]
    headers = headers if drawn.random() < 0.9 else headers[1:] * drawn.choice((1, 100))
    body = b"".join(drawn.choices(_CHUNKS, k=drawn.randint(0, 3))) if drawn.random() < 0.5 else drawn.randbytes(drawn.choice((0, 5, 7)))
    return b"\r\n".join((line, *headers, b"", body))


def good_request(key: str) -> bytes:
    """One that is answered."""
    body = b'{"id": "fuzz", "filler": [1, 2.5e3, null, "\\u00e9"]}'
    head = f"POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nx-request-id: fuzz\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
