"""How a script's `run` is called with a request, and what is made of that which it returns.

    run(raw_data)                          the body as text; of a GET the query as JSON
    run(raw_data, request_headers)         with a dict of the request's headers, in either place
    @input_schema(...) run(a, b)           the values of a JSON object, by name
    @rawhttp run(request)                  the request itself; it may return a response with status and headers
    run_batch([raw_data, ...])             one result for each, in their order

What the decorators leave behind `decorators` knows.
"""

from __future__ import annotations

import codecs
import inspect
import json
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import parse_qsl, quote_from_bytes

from . import as_json, decorators
from .describing import described
from .script import Script, Unusable

HEADERS = "request_headers"
OK, BAD_REQUEST, UNSUPPORTED, MOST_STATUS = 200, 400, 415, 599
Arguments = Tuple[List[Any], Dict[str, Any]]
_RAW_DATA = inspect.Parameter("raw_data", inspect.Parameter.POSITIONAL_ONLY)
_AS_SENT = "batchinfer-percent"
codecs.register_error(_AS_SENT, lambda error: (quote_from_bytes(error.object[error.start : error.end]), error.end))  # type: ignore[attr-defined]
_HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+\Z")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")


class Asked(NamedTuple):
    """A request: what the router says of it, and its body as it came."""

    header: Dict[str, Any]
    body: bytes


class Reply(NamedTuple):
    """What is said to a caller; a traceback is only for the log."""

    status: int
    body: bytes
    raised: bool = False
    traceback: str = ""
    headers: Optional[List[Tuple[str, str]]] = None


class BadInput(Exception):
    """A request that `run` cannot be called with, by the caller's fault."""

    def __init__(self, message: str, status: int = BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


def caller_of(script: Script, name: str) -> Caller:
    """How this script is to be called."""
    run, run_batch = script.function("run"), script.function("run_batch")
    if run is None and run_batch is None:
        raise Unusable(f"{name} has no function run(raw_data)")
    function: Any = run or run_batch
    make_request = decorators.raw_request() if run is not None else None
    schema = decorators.schema_of(run) if run is not None else None
    if make_request and schema is not None:
        raise Unusable(f"{name}: run() is decorated with both rawhttp and input_schema; give it one of them")
    if schema is not None:
        signature = inspect.signature(function)
        return Caller(script, _by_name(signature), schema=schema, headers=HEADERS in signature.parameters)
    parameters = _parameters(function)
    headers = any(parameter.name == HEADERS for parameter in parameters)
    body = next((parameter for parameter in parameters if parameter.name != HEADERS), _RAW_DATA if run is None else None)
    if body is None:
        raise Unusable(f"{name}: run() takes no argument; give it one for the request's body: run(raw_data)")
    if make_request:
        return Caller(script, _raw_as(body, make_request, wants_headers=headers), raw=True)
    return Caller(script, _text_as(body, wants_headers=headers), batches=run_batch is not None, headers=headers)


class Caller:
    """Calls `run`, or `run_batch`, which are looked up each time: scripts replace them."""

    def __init__(
        self,
        script: Script,
        arguments: Callable[[Asked], Arguments],
        *,
        batches: bool = False,
        raw: bool = False,
        headers: bool = False,
        schema: Optional[Dict[str, Any]] = None,
    ) -> None:
        self.script = script
        self.batches = batches
        self.takes: Dict[str, Any] = {
            "batches": batches,
            "raw": raw,
            "named": schema is not None,
            "headers": headers or raw,
            "interface": schema or {},
        }
        self._arguments = arguments

    def run(self, asked: Asked) -> Reply:
        """Answer one request."""
        run = self.script.function("run")
        if run is None:
            return self.run_batch([asked])[0]
        try:
            positional, named = self._arguments(asked)
            return _reply_of(run(*positional, **named))
        except BadInput as error:
            return _refused(error)
        except BaseException as error:
            return _raised(error)

    def run_batch(self, batch: Sequence[Asked]) -> List[Reply]:
        """Answer several at once; those that are no text are told so, and the others do not suffer from it."""
        texts: List[Any] = []
        for asked in batch:
            try:
                texts.append(_text(asked))
            except BadInput as error:
                texts.append(error)
        good = [text for text in texts if not isinstance(text, BadInput)]
        found = iter(self._results(good) if good else [])
        return [_refused(text) if isinstance(text, BadInput) else next(found) for text in texts]

    def _results(self, texts: List[str]) -> List[Reply]:
        run_batch: Any = self.script.function("run_batch")
        try:
            results = _in_order(run_batch(texts))
            if len(results) != len(texts):
                raise ValueError(f"run_batch was given {len(texts)} requests and returned {len(results)} results; give one for each")
        except BaseException as error:
            failed = _raised(error)
            return [failed, *(failed._replace(traceback="") for _ in texts[1:])]
        return [_replied(result) for result in results]


def _in_order(found: Any) -> List[Any]:
    """Results as a list, unless what is listed would be something else, and of the right length only by chance."""
    kind = type(found).__name__
    if isinstance(found, (str, bytes, dict, set, frozenset)) or kind == "DataFrame":
        raise TypeError(f"run_batch returned a {kind}; give a list with one result for each request, in their order")
    return list(found)


def _replied(result: Any) -> Reply:
    try:
        return _reply_of(result)
    except BaseException as error:
        return _raised(error)


def _reply_of(result: Any) -> Reply:
    """JSON, unless it is a response already: something with a status, headers and data."""
    status, data = getattr(result, "status_code", None), getattr(result, "data", None)
    if isinstance(status, int) and isinstance(data, bytes):
        headers = [_checked_header(str(name), str(value)) for name, value in result.headers.items()]
        return Reply(_checked_status(status), data, headers=headers)
    return Reply(OK, as_json.encoded({} if result is None else result))


def _checked_status(status: int) -> int:
    if not OK <= status <= MOST_STATUS:
        raise ValueError(f"run() returned a response of the status {status}; give one of {OK} to {MOST_STATUS}")
    return status


def _checked_header(name: str, value: str) -> Tuple[str, str]:
    if not _HEADER_NAME.match(name) or not _HEADER_VALUE.match(value):
        raise ValueError(f"run() returned a response with the header {name!r}: {value!r}, which HTTP does not allow")
    return name, value


def _refused(error: BadInput) -> Reply:
    return Reply(error.status, as_json.encoded({"message": str(error)}))


def _raised(error: BaseException) -> Reply:
    return Reply(OK, b"", raised=True, traceback=described(error, "")["traceback"])


def _text_as(parameter: inspect.Parameter, *, wants_headers: bool) -> Callable[[Asked], Arguments]:
    def arguments(asked: Asked) -> Arguments:
        positional, named = _as_argument(parameter, _text(asked))
        if wants_headers:
            named[HEADERS] = _headers(asked)
        return positional, named

    return arguments


def _as_argument(parameter: inspect.Parameter, value: Any) -> Arguments:
    """By name, since the headers may come first, unless it has none: of `run(*args)`, as decorators make it, or `run(data, /)`."""
    if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
        return [value], {}
    return [], {parameter.name: value}


def _by_name(signature: inspect.Signature) -> Callable[[Asked], Arguments]:
    def arguments(asked: Asked) -> Arguments:
        body = _object(asked)
        given = {}
        for parameter in signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.name == HEADERS:
                given[HEADERS] = _headers(asked)
                continue
            value = body.get(parameter.name, parameter.default)
            if value is parameter.empty:
                raise BadInput(f"A value is not provided for the {parameter.name!r} parameter.")
            given[parameter.name] = value
        return [], given

    return arguments


def _object(asked: Asked) -> Dict[str, Any]:
    if "query" in asked.header:
        return _of_query(asked)
    if "json" not in asked.header.get("type", "").lower():
        raise BadInput("Expects Content-Type to be application/json", UNSUPPORTED)
    try:
        body = json.loads(asked.body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadInput("the body is not a JSON object")
    return body


def _raw_as(parameter: inspect.Parameter, make: decorators.MakeRequest, *, wants_headers: bool) -> Callable[[Asked], Arguments]:
    def arguments(asked: Asked) -> Arguments:
        header, body = asked
        headers = _headers(asked)
        request = make(header["method"], header["url"], headers, b"" if "query" in header else body)
        positional, named = _as_argument(parameter, request)
        if wants_headers:
            named[HEADERS] = headers
        return positional, named

    return arguments


def _headers(asked: Asked) -> Dict[str, str]:
    """By name; the values of one that is there several times as a list with commas, as HTTP has it."""
    found: Dict[str, str] = {}
    for name, value in asked.header["headers"]:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _text(asked: Asked) -> str:
    if "query" in asked.header:
        try:
            return json.dumps(_of_query(asked))
        except RecursionError:
            raise BadInput("the query is nested too deep") from None
    try:
        return asked.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None


def _of_query(asked: Asked) -> Dict[str, Any]:
    """Each name's value, as JSON where it is that; a list of a name that is there several times. Bytes that are no UTF-8 stay %XX."""
    found: Dict[str, List[Any]] = {}
    for name, text in parse_qsl(asked.body.decode("latin-1"), keep_blank_values=True, errors=_AS_SENT):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _parameters(function: Callable[..., Any]) -> List[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [_RAW_DATA]
