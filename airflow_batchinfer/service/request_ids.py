"""By which ids a request and its answer are known, as Azure's callers send and read them. Decides, sends nothing.

`x-request-id` is the request's, the caller's or a new one. `x-ms-client-request-id` is the caller's own and comes back;
`x-ms-request-id` is the older name of both.
"""

import os
from collections.abc import Mapping

MOST_CHARACTERS = 100
Headers = list[tuple[bytes, bytes]]


class TooLong(Exception):
    """One of them is; `headers` are those that may come back nevertheless."""

    def __init__(self, message: str, headers: Headers) -> None:
        super().__init__(message)
        self.headers = headers


def of(given: Mapping[bytes, bytes]) -> Headers:
    """The headers of the answer; the first is always `x-request-id`."""
    own = given.get(b"x-request-id") or _new()
    if len(own) > MOST_CHARACTERS:
        raise TooLong(f"x-request-id must not exceed {MOST_CHARACTERS} characters", [])
    legacy, client = given.get(b"x-ms-request-id"), given.get(b"x-ms-client-request-id")
    trace = given.get(b"traceid")
    headers = [(b"x-request-id", own)]
    if not (legacy or client or trace):
        headers.append((b"x-ms-request-id", own))
        return headers
    if trace:
        headers.append((b"traceid", trace))
    legacy, client = legacy or client or own, client or legacy
    if len(legacy) > MOST_CHARACTERS or len(client or b"") > MOST_CHARACTERS:
        raise TooLong(f"x-ms-request-id and x-ms-client-request-id must not exceed {MOST_CHARACTERS} characters", headers)
    headers.append((b"x-ms-request-id", legacy))
    if client:
        headers.append((b"x-ms-client-request-id", client))
    return headers


def _new() -> bytes:
    """As uuid.uuid4() makes them, in a third of its time."""
    drawn = os.urandom(16).hex()
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-a{drawn[17:20]}-{drawn[20:]}".encode()
