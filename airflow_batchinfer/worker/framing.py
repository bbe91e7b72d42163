"""Frames on a pipe: a header that is JSON, and a payload of bytes that is not looked at here.

| header length, 4 bytes | payload length, 8 bytes | header | payload |
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO, Dict, Iterator, Optional, Tuple

LENGTHS = struct.Struct("<IQ")
MOST_HEADER_BYTES = 64 << 20
Header = Dict[str, Any]
Frame = Tuple[Header, bytes]


def pack(header: Header, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return pack_encoded(json.dumps(header, separators=(",", ":")).encode(), payload)


def pack_encoded(header: bytes, payload: bytes) -> bytes:
    """One frame of a header that is JSON already."""
    return b"".join((LENGTHS.pack(len(header), len(payload)), header, payload))


def read_frame(stream: BinaryIO) -> Optional[Frame]:
    """The next frame of a blocking stream; None at its end, also in the middle of a frame."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    header_length, payload_length = LENGTHS.unpack(lengths)
    header = stream.read(header_length)
    payload = stream.read(payload_length)
    if len(header) < header_length or len(payload) < payload_length:
        return None
    return json.loads(header), payload


class Unpacker:
    """Frames out of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = LENGTHS.size

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """Take a piece; give the frames that it completes."""
        self._buffer += piece
        start = 0
        while len(self._buffer) - start >= self._wanted:
            header_length, payload_length = LENGTHS.unpack_from(self._buffer, start)
            if header_length > MOST_HEADER_BYTES:
                raise ValueError(f"a header of {header_length} bytes")
            body = start + LENGTHS.size
            end = body + header_length + payload_length
            if len(self._buffer) < end:
                self._wanted = end - start
                break
            header = json.loads(self._buffer[body : body + header_length])
            yield header, bytes(self._buffer[body + header_length : end])
            start = end
            self._wanted = LENGTHS.size
        del self._buffer[:start]
