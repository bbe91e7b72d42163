"""What is asked of both servers: each row of the wire, and what lies around it. Those on which we want to differ are in `differences`."""

import json
from collections.abc import Sequence

from tests.oracles.serving_both import Call

JSON = ("Content-Type", "application/json")
PARTS = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
FORM = ("Content-Type", "application/x-www-form-urlencoded")
Headers = Sequence[tuple[str, str]]


def get(script: str, path: str = "/score", *headers: tuple[str, str], method: str = "GET") -> Call:
    return Call(script, method, path, headers=headers)


def post(script: str, body: object, *headers: tuple[str, str], path: str = "/score") -> Call:
    """As JSON, unless it is bytes, or pieces of them."""
    is_raw = isinstance(body, bytes) or (isinstance(body, list) and all(isinstance(piece, bytes) for piece in body))
    return Call(script, "POST", path, body if is_raw else json.dumps(body).encode(), headers or (JSON,))  # type: ignore[arg-type]


def do(what: str) -> Call:
    return post("plain", {"do": what})


def named(**values: object) -> Call:
    return post("named", values)


def arrays(**values: object) -> Call:
    return post("arrays", values)


METHODS = {
    f"{method} {path}": get("plain", path, method=method)
    for path in ("/", "/score", "/swagger.json", "/nothing")
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
}
PATHS = {path: get("plain", path) for path in ("/score/", "/scores", "/SCORE", "/score/1", "/?a=1", "/health", "/sc%6Fre", "/favicon.ico")}
QUERIES = {f"GET /score?{query}": get("plain", f"/score?{query}") for query in (
    *("a=1", "a=1&b=[1,2]&c=a&d=null", "a=x&a=2&a=[3]", "b=1&a=2&b=3", "a=", "a", "a&a", "=1", "&&", "a=1;b=2"),
    *("a=%22x%22", "a=+1+2", "a=%2B1", "a=%C3%A4", "%C3%A4=1", "a=%FF", "a=%", "a=true&b=True&c=NaN&d=1e400"),
    *("a={%22b%22:1}", "a[]=1", "a=1#b"),
    "a=0" + "1" * 400, "data=" + "x" * 3000,
)}  # fmt: skip
RESULTS = {f"run returns {what}": do(what) for what in (
    *("none", "text", "number", "fraction", "not a number", "true", "list", "tuple", "nothing", "nested", "numbers as keys"),
    *("bytes", "set", "tuple as a key", "object", "array", "number of numpy", "frame", "date", "large"),
)}  # fmt: skip
RESULTS |= {"run raises": do("raise"), "run exits": do("exit")}
BODIES = {
    "JSON": post("plain", {"data": [1, "ä"]}),
    "no content type": Call("plain", "POST", "/score", b'{"data": 1}'),
    "text": post("plain", b"text", ("Content-Type", "text/plain; charset=latin-1")),
    "octets": post("plain", b"text", ("Content-Type", "application/octet-stream")),
    "empty": post("plain", b""),
    "no body": Call("plain", "POST", "/score", headers=[("Content-Length", "0")]),
    "neither body nor length": Call("plain", "POST", "/score"),
    "not UTF-8": post("plain", b"\xff\xfe"),
    "UTF-8 with a mark": post("plain", b"\xef\xbb\xbf{}"),
    "a NUL": post("plain", b"a\0b"),
    "large": post("plain", b"x" * (8 << 20)),
    "in chunks": post("plain", [b"one, ", b"two, ", b"three"]),
    "in one chunk": post("plain", [b"one"]),
    "in no chunk": post("plain", []),
    "a form": post("plain", b"a=1&b=2", FORM),
    "parts of a form": post("plain", PARTS, ("Content-Type", "multipart/form-data; boundary=x")),
    "a query too": post("plain", b"text", path="/score?a=1"),
    "a body with a GET": Call("plain", "GET", "/score?a=1", b"text"),
}  # fmt: skip
IDS = {f"{', '.join(f'{name} of {len(value)}' for name, value in headers)} at {path}": get("plain", path, *headers)
    for path in ("/score", "/", "/swagger.json", "/nothing")
    for headers in (
        [("x-request-id", "mine")], [("x-request-id", "x" * 100)], [("x-request-id", "x" * 101)],
        [("x-ms-client-request-id", "theirs")], [("x-ms-client-request-id", "x" * 101)],
        [("x-ms-request-id", "older")], [("x-ms-request-id", "x" * 101)],
        [("x-request-id", "one"), ("x-ms-client-request-id", "other"), ("x-ms-request-id", "third"), ("TraceId", "trace")],
    )}  # fmt: skip
DOCUMENTS = {
    f"{script}: swagger.json{query}": get(script, f"/swagger.json{query}")
    for script in ("plain", "headers", "raw", "named", "mixed", "arrays")
    for query in ("", "?version=2", "?version=2.0", "?version=3", "?version=3.0", "?version=3.1", "?version=1", "?version=", "?version=x")
}
HEADERS = {
    "headers": post("headers", 1, JSON, ("X-Kind", "a"), ("x-small", "b"), ("X-MANY-Words", "c")),
    "a header twice": post("headers", 1, JSON, ("X-Many", "a"), ("X-Many", "b")),
    "an empty header": post("headers", 1, JSON, ("X-None", "")),
    "a header that is not ASCII": post("headers", 1, JSON, ("X-Kind", "ä".encode().decode("latin-1"))),
    "a header with an underscore": post("headers", 1, JSON, ("X_Kind", "a"), ("X-Other", "b")),
    "a key": post("headers", 1, JSON, ("Authorization", "Bearer abc")),
    "headers of a GET": get("headers", "/score?a=1", ("X-Kind", "a")),
    "headers and a schema": post("mixed", {"row": [1, "b"]}, JSON, ("X-Kind", "a")),
    "headers that lack one": post("mixed", {"row": [1, "b"]}),
    "request_headers in the body": post("mixed", {"row": [1, "b"], "request_headers": {"X-Kind": "body"}}, JSON, ("X-Kind", "a")),
}  # fmt: skip
RAW = {
    "a request": post("raw", {"a": [1]}, JSON, ("X-Kind", "k")),
    "with a query": post("raw", b"bytes \xff", ("Content-Type", "image/png"), ("X-Kind", "k"), path="/score?a=1&a=2&b=%C3%A4&c="),
    "in chunks": post("raw", [b"a", b"b"], ("X-Kind", "k")),
    "a form": post("raw", b"a=1&b=2", FORM, ("X-Kind", "k")),
    "nothing": post("raw", b"", ("X-Kind", "k")),
    "by GET": get("raw", "/score?a=1", ("X-Kind", "k")),
    "by OPTIONS": get("raw", "/score?a=1", ("X-Kind", "k"), method="OPTIONS"),
    "by HEAD": get("raw", "/score?a=1", ("X-Kind", "k"), method="HEAD"),
    "by PUT": get("raw", "/score?a=1", ("X-Kind", "k"), method="PUT"),
    **{f"{what}": post("raw", b"", path=f"/score?do={what.replace(' ', '+')}") for what in (
        *("bytes", "text", "empty text", "none", "json", "created", "no content", "not modified", "elsewhere", "bad", "busy", "broken"),
        *("says that it failed", "the caller's fault", "many", "a date", "in small letters", "ids of its own"),
        *("plain", "plain text", "nothing", "raise"),
    )},
    "by its newer name": post("raw_by_newer_name", b"\xffbytes"),
    "with ids": post("raw", b"", ("x-request-id", "mine"), ("x-ms-client-request-id", "theirs"), path="/score?do=ids+of+its+own"),
}  # fmt: skip
OPTIONS = {"deep": {"at": 1}, "names": ["a"], "free": "x"}
NAMED = {
    "only what is needed": named(count=1),
    "all": named(count=2, rate=1.5, options=OPTIONS, when="2026-11-21T12:30:00", raw="YWJj", other=[1]),
    "a whole number for a fraction": named(count=1, rate=2),
    "more than is asked for": named(count=1, more=2),
    "not what is needed": named(rate=1.5),
    "null": named(count=None),
    "of another type": named(count="1"),
    "a fraction for a whole number": named(count=1.5),
    "a truth for a number": named(count=True),
    "of another type within": named(count=1, options={"deep": {"at": "x"}}),
    "of another type where nothing was said": named(count=1, options={"free": [1]}),
    "no dict": named(count=1, options=[1]),
    "no list within": named(count=1, options={"names": "a"}),
    "another type in a list": named(count=1, options={"names": ["a", 1]}),
    "some of a dict": named(count=1, options={"other": 1}),
    "no time": named(count=1, when="soon"),
    "by query": get("named", "/score?count=1&other=x&other=2"),
    "by a query that lacks one": get("named", "/score?other=1"),
    "a list": post("named", [1]),
    "text": post("named", "text"),
    "no JSON": post("named", b"{"),
    "nothing": post("named", b""),
    "not UTF-8": post("named", b'{"count": "\xff"}'),
    "UTF-16": post("named", '{"count": 1}'.encode("utf-16")),
    "no content type": Call("named", "POST", "/score", b'{"count": 1}'),
    "text/plain": post("named", b'{"count": 1}', ("Content-Type", "text/plain")),
    "a form": post("named", b"count=1", FORM),
    "text/json": post("named", b'{"count": 1}', ("Content-Type", "text/json")),
    "a kind of JSON": post("named", b'{"count": 1}', ("Content-Type", "application/ld+json")),
    "with a charset": post("named", b'{"count": 1}', ("Content-Type", "Application/JSON; charset=utf-8")),
    "in chunks": post("named", [b'{"count"', b": 1}"], JSON),
    "by OPTIONS": get("named", method="OPTIONS"),
    "by PUT": Call("named", "PUT", "/score", b'{"count": 1}', [JSON]),
}  # fmt: skip
ARRAYS = {
    "numbers": arrays(data=[[1, 2], [3, 4.5]]),
    "no rows": arrays(data=[]),
    "another width": arrays(data=[[1, 2, 3]]),
    "another depth": arrays(data=[1, 2]),
    "ragged": arrays(data=[[1], [1, 2]]),
    "text for numbers": arrays(data=[["a", "b"]]),
    "numbers as text": arrays(data=[["1", "2"]]),
    "no list": arrays(data="text"),
    "a number": arrays(data=1),
    "whole numbers": arrays(whole=[1, 2, 3]),
    "fractions for whole numbers": arrays(whole=[1.5]),
    "too large": arrays(whole=[1 << 40]),
    "whatever it is": arrays(free=[[1, 2], [3, 4]]),
    "people by name": arrays(people=[{"name": "b", "age": 2, "share": 0.25}]),
    "people by place": arrays(people=[["b", 2, 0.25]]),
    "people who lack something": arrays(people=[{"name": "b"}]),
    "a frame": arrays(frame=[{"store": "c", "price": 1, "count": 3}]),
    "a frame in another order": arrays(frame=[{"count": 3, "price": 1.5, "store": "c"}]),
    "a frame that lacks a column": arrays(frame=[{"store": "c"}]),
    "a frame with one more": arrays(frame=[{"store": "c", "price": 1, "count": 3, "more": 1}]),
    "a frame of other types": arrays(frame=[{"store": "c", "price": "much", "count": 3}]),
    "a frame with numbers for text": arrays(frame=[{"store": 7, "price": 1, "count": 3}]),
    "no frame": arrays(frame="text"),
    "a frame by columns": arrays(frame={"store": ["c"], "price": [1], "count": [3]}),
    "a frame that is split": arrays(split={"columns": ["store", "price", "count"], "index": [0, 1], "data": [["c", 1, 3], ["d", 2, 4]]}),
    "nested": arrays(nested={"inner": [True, False]}),
    "nothing": arrays(),
}  # fmt: skip
GROUPS = {
    "methods": METHODS, "paths": PATHS, "queries": QUERIES, "results": RESULTS, "bodies": BODIES, "ids": IDS,
    "documents": DOCUMENTS, "headers": HEADERS, "raw": RAW, "named": NAMED, "arrays": ARRAYS,
}  # fmt: skip
CALLS = {f"{group}: {name}": call for group, calls in GROUPS.items() for name, call in calls.items()}
