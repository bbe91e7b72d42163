"""Bodies of requests, read within limits: of each how long it is and how long it takes, of all together how much they hold.

A limit that is passed ends the reading there and then; the rest of the body is never taken in.
"""

import asyncio
from http import HTTPStatus

from starlette.types import Receive

MOST_BODY_BYTES = 100 << 20
MOST_HELD_BYTES = 4 * MOST_BODY_BYTES
BODY_SECONDS = 60.0


class BodyRefused(Exception):
    """Why a body is not read on; without a status where nobody is left to be told."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Held:
    """A body, which counts until `release`."""

    __slots__ = ("_bodies", "body")

    def __init__(self, bodies: "Bodies", body: bytes) -> None:
        self._bodies = bodies
        self.body = body

    def release(self) -> None:
        """It counts no more."""
        self._bodies.held_bytes -= len(self.body)


class Bodies:
    """All bodies that are held."""

    def __init__(self, most_bytes: int = MOST_BODY_BYTES, most_held_bytes: int = MOST_HELD_BYTES, seconds: float = BODY_SECONDS) -> None:
        self.held_bytes = 0
        self._most_bytes = most_bytes
        self._most_held_bytes = most_held_bytes
        self._seconds = seconds

    async def read(self, receive: Receive, length: bytes | None) -> Held:
        """The body. What says that it is too long is refused before any of it is read."""
        if length and (not length.isdigit() or int(length) > self._most_bytes):
            raise self._too_long()
        taken = 0
        try:
            async with asyncio.timeout(self._seconds):
                event = await receive()
                pieces = []
                while True:
                    if event["type"] != "http.request":
                        raise BodyRefused("the caller is gone")
                    piece = event["body"]
                    taken += len(piece)
                    self.held_bytes += len(piece)
                    self._check(taken)
                    pieces.append(piece)
                    if not event.get("more_body"):
                        return Held(self, pieces[0] if len(pieces) == 1 else b"".join(pieces))
                    event = await receive()
        except TimeoutError:
            self.held_bytes -= taken
            raise BodyRefused(f"the body did not come within {self._seconds:g} s", HTTPStatus.REQUEST_TIMEOUT) from None
        except BaseException:
            self.held_bytes -= taken
            raise

    def _check(self, taken: int) -> None:
        if taken > self._most_bytes:
            raise self._too_long()
        if self.held_bytes > self._most_held_bytes:
            raise BodyRefused("too much is being read at once; try again later", HTTPStatus.SERVICE_UNAVAILABLE)

    def _too_long(self) -> BodyRefused:
        return BodyRefused(f"a body may have {self._most_bytes:,} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
