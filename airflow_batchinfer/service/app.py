"""HTTP: who may ask what, and how each end of a request looks. The body of a request is never parsed here.

What refuses a request is asked in this order: request id, key, method, length, room, body. Neither a key nor a body is ever logged.
"""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from airflow_batchinfer.service import interface, request_ids
from airflow_batchinfer.service.bodies import Bodies, BodyRefused
from airflow_batchinfer.service.metrics import CONTENT_TYPE, Metrics
from airflow_batchinfer.service.protocol import Question
from airflow_batchinfer.service.serving import Serving
from airflow_batchinfer.service.wire import Answered, Failed, Outcome, blames_the_script, status_of

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
KEY_NEEDED = "one of the service's keys is needed, as Authorization: Bearer KEY"
NOT_FAILED = (b"x-ms-run-function-failed", b"False")
HAS_FAILED = (b"x-ms-run-function-failed", b"True")
_CLOSE = (b"connection", b"close")
# A body behind one of these would be taken for the next answer of the connection.
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_EMPTY = (b"content-type", b"text/plain; charset=utf-8")
_METHODS = b"GET, POST, OPTIONS"
_PAGE_METHODS = "OPTIONS, GET, HEAD"
_NOT_ALLOWED = "Method not allowed"
# These are the server's own to say.
_NOT_OF_A_SCRIPT = frozenset({b"connection", b"content-length", b"transfer-encoding", b"x-ms-run-fn-exec-ms"})


class Reception:
    """What stays while one revision comes after the other; `serving` is the one that answers now."""

    serving: Serving

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.bodies = Bodies()


class Score:
    """`/score`: an application of its own, since everything else that a framework would do costs as much as the answer."""

    def __init__(self, reception: Reception, tell: Callable[[str], None]) -> None:
        self._reception = reception
        self._metrics = reception.metrics
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given: dict[bytes, bytes] = dict(scope["headers"])
        try:
            headers = request_ids.of(given)
        except request_ids.TooLong as error:
            await self._refuse(send, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, str(error), [*error.headers, _CLOSE])
            return
        method = scope["method"]
        if method == "OPTIONS":
            await _send(send, HTTPStatus.OK, b"", [*headers, _EMPTY, NOT_FAILED])
        elif not self._reception.serving.accepts(given.get(b"authorization")):
            await self._refuse(send, HTTPStatus.UNAUTHORIZED, KEY_NEEDED, [*headers, (b"www-authenticate", b"Bearer"), _CLOSE])
        elif method not in ("GET", "POST"):
            await self._refuse(send, HTTPStatus.METHOD_NOT_ALLOWED, _NOT_ALLOWED, [*headers, (b"allow", _METHODS), _CLOSE])
        else:
            await self._score(scope, receive, send, given, headers)

    async def _score(self, scope: Scope, receive: Receive, send: Send, given: dict[bytes, bytes], headers: Headers) -> None:
        is_query = scope["method"] == "GET"
        query: bytes = scope["query_string"]
        try:
            held = await self._reception.bodies.read(receive, given.get(b"content-length"))
        except BodyRefused as refused:
            if refused.status:
                retry = [(b"retry-after", b"1")] if refused.status == HTTPStatus.SERVICE_UNAVAILABLE else []
                await self._refuse(send, refused.status, str(refused), [*headers, *retry, _CLOSE])
            return
        try:
            question = Question(
                body=query if is_query else held.body,
                method=scope["method"],
                path=scope["path"],
                query=query,
                content_type=given.get(b"content-type"),
                headers=scope["headers"],
            )
            outcome = await self._reception.serving.dispatcher.ask(question)
        finally:
            held.release()
        await self._answer(send, outcome, headers)

    async def _answer(self, send: Send, outcome: Outcome, headers: Headers) -> None:
        match outcome:
            case Answered(status, body, seconds, of_the_script):
                if of_the_script is None:
                    headers += (JSON, NOT_FAILED)
                else:
                    headers += _of_the_script(of_the_script, status, {name for name, _ in headers})
                if of_the_script is not None or status == HTTPStatus.OK:  # else it was not run: the body was not what it takes
                    self._metrics.ran(seconds)
                    headers.append((b"x-ms-run-fn-exec-ms", b"%.3f" % (seconds * 1000)))
                self._metrics.answered(status)
                await _send(send, status, body, headers)
            case Failed(failure, retry_after, of_the_script):
                if retry_after is not None:
                    headers.append((b"retry-after", b"%d" % retry_after))
                headers.append(HAS_FAILED if blames_the_script(failure) else NOT_FAILED)
                status = status_of(self._reception.serving.service.config.status_profile, failure)
                self._log(headers[0][1], status, failure.value, of_the_script)
                await self._refuse(send, status, failure.value, headers)

    def _log(self, request_id: bytes, status: int, why: str, of_the_script: str) -> None:
        self._tell(f"request {request_id.decode('ascii', 'backslashreplace')}: {status}, {why}\n{of_the_script}".rstrip())

    async def _refuse(self, send: Send, status: int, message: str, headers: Headers) -> None:
        self._metrics.answered(int(status))
        failed = [] if any(name == NOT_FAILED[0] for name, _ in headers) else [NOT_FAILED]
        await _send(send, status, json.dumps({"message": message}).encode(), [*headers, *failed, JSON])


class Desk:
    """Everything but `/score`."""

    def __init__(self, reception: Reception, name: str) -> None:
        self._reception = reception
        self._name = name

    async def healthy(self, _: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("Healthy")

    async def ready(self, _: Request) -> Response:
        """Whether at least one replica lives and has been through `init()`."""
        serving = self._reception.serving
        ready, wanted = serving.pool.ready, serving.pool.wanted
        is_ready = ready > 0 and not serving.dispatcher.stopping
        return JSONResponse({"replicas_ready": ready, "replicas_wanted": wanted}, HTTPStatus.OK if is_ready else 503)

    async def swagger(self, request: Request) -> Response:
        """The interface."""
        if not self._accepts(request):
            return _unauthorized()
        described = self._reception.serving.pool.interface
        if described is None:
            return _message("no replica is ready yet", HTTPStatus.SERVICE_UNAVAILABLE, retry_after="1")
        version = request.query_params.get("version", "2")
        found = interface.document(version, self._name, described)
        if found is None:
            known = ", ".join(interface.versions(described))
            return _message(f"there is no swagger of this version for the script; versions: {known}", HTTPStatus.NOT_FOUND)
        return JSONResponse(found, headers={"x-ms-run-function-failed": "False"})

    async def metrics(self, request: Request) -> Response:
        """What Prometheus asks for."""
        if not self._accepts(request):
            return _unauthorized()
        pool, dispatcher = self._reception.serving.pool, self._reception.serving.dispatcher
        gauges = {
            "batchinfer_requests_running": ("Requests that a replica has.", dispatcher.running),
            "batchinfer_requests_waiting": ("Requests that wait for a replica.", dispatcher.waiting),
            "batchinfer_replicas_ready": ("Replicas that answer.", pool.ready),
            "batchinfer_replicas_wanted": ("Replicas that there should be.", pool.wanted),
            "batchinfer_replicas_unschedulable": ("Replicas for which too few GPUs are free.", pool.unschedulable),
        }
        counters = {
            "batchinfer_requests_retried_total": ("Requests that were tried again since their replica died.", dispatcher.retried),
            "batchinfer_replicas_restarted_total": ("Replicas that were replaced.", pool.restarted),
        }
        return Response(self._reception.metrics.text(gauges, counters), headers={"content-type": CONTENT_TYPE.decode()})

    def _accepts(self, request: Request) -> bool:
        return self._reception.serving.accepts(dict(request.scope["headers"]).get(b"authorization"))


class Page:
    """One page: the ids of a request, its method, and then what is there."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        try:
            headers = request_ids.of(dict(scope["headers"]))
        except request_ids.TooLong as error:
            headers = error.headers
            response: Response = _message(str(error), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            response = await self._response(request)
        response.raw_headers += headers
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return PlainTextResponse("", headers={"allow": _PAGE_METHODS})
        if request.method not in ("GET", "HEAD"):
            return _message(_NOT_ALLOWED, HTTPStatus.METHOD_NOT_ALLOWED, allow=_PAGE_METHODS)
        return await self._answer(request)


def routes(score: Score, desk: Desk) -> Router:
    """Every path there is."""
    return Router(
        [
            Route("/score", score),
            Route("/", Page(desk.healthy)),
            Route("/health/live", Page(desk.healthy)),
            Route("/health/ready", Page(desk.ready)),
            Route("/swagger.json", Page(desk.swagger)),
            Route("/metrics", Page(desk.metrics)),
        ],
        redirect_slashes=False,
        default=_unknown,
    )


def _of_the_script(given: Headers | tuple[tuple[bytes, bytes], ...], status: int, ours: set[bytes]) -> Headers:
    """The headers of a response that a script made, but for what the server says; a status of 500 and more is a failure."""
    kept = [pair for pair in given if pair[0] not in _NOT_OF_A_SCRIPT and pair[0] not in ours]
    if status == HTTPStatus.NOT_MODIFIED:
        kept = [pair for pair in kept if pair[0] != JSON[0]]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return [*(pair for pair in kept if pair[0] != HAS_FAILED[0]), HAS_FAILED]
    return kept if any(name == NOT_FAILED[0] for name, _ in kept) else [*kept, NOT_FAILED]


def _message(message: str, status: int, **headers: str) -> Response:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"message": message}, status, {"x-ms-run-function-failed": "False", **told})


def _unauthorized() -> Response:
    return _message(KEY_NEEDED, HTTPStatus.UNAUTHORIZED, www_authenticate="Bearer", connection="close")


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await _send(send, HTTPStatus.NOT_FOUND, b'{"message": "there is nothing here; POST to /score"}', [JSON, NOT_FAILED, _CLOSE])


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    has_body = status not in _WITHOUT_BODY
    lengths = [(b"content-length", b"%d" % len(body))] if has_body else []
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, *lengths]})
    await send({"type": "http.response.body", "body": body if has_body else b""})
