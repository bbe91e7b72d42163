"""HTTP: who may ask what, and how each end of a request looks. The body of a request is never parsed here.

What refuses a request is asked in this order: request id, key, method, length, room, body. Neither a key nor a body is ever logged.
"""

import json
import os
from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from airflow_batchinfer.service import interface
from airflow_batchinfer.service.bodies import Bodies, BodyRefused
from airflow_batchinfer.service.metrics import CONTENT_TYPE, Metrics
from airflow_batchinfer.service.protocol import Question
from airflow_batchinfer.service.serving import Serving
from airflow_batchinfer.service.wire import MOST_REQUEST_ID, Answered, Failed, Outcome, blames_the_script, status_of

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
NOT_FAILED = (b"x-ms-run-function-failed", b"False")
HAS_FAILED = (b"x-ms-run-function-failed", b"True")
_CLOSE = (b"connection", b"close")
# A body behind one of these would be taken for the next answer of the connection.
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_METHODS = b"GET, POST, OPTIONS"
# These are the server's own to say.
_NOT_OF_A_SCRIPT = frozenset({b"connection", b"content-length", b"transfer-encoding", b"x-request-id"})


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
        request_id = given.get(b"x-request-id") or _new_request_id()
        if len(request_id) > MOST_REQUEST_ID:
            too_long = f"x-request-id must not exceed {MOST_REQUEST_ID} characters"
            await self._refuse(send, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, too_long, [_CLOSE])
            return
        headers = [(b"x-request-id", request_id)]
        method = scope["method"]
        if method == "OPTIONS":
            await _send(send, HTTPStatus.OK, b"", headers)
        elif not self._reception.serving.accepts(given.get(b"authorization")):
            await self._refuse(send, HTTPStatus.UNAUTHORIZED, "a good key is needed", [*headers, (b"www-authenticate", b"Bearer"), _CLOSE])
        elif method not in ("GET", "POST"):
            await self._refuse(send, HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed", [*headers, (b"allow", _METHODS), _CLOSE])
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
                self._metrics.ran(seconds)
                headers.append((b"x-ms-run-fn-exec-ms", b"%.3f" % (seconds * 1000)))
                if of_the_script is None:
                    headers += (JSON, NOT_FAILED)
                else:
                    headers += (pair for pair in of_the_script if pair[0] not in _NOT_OF_A_SCRIPT)
                    if not any(name == NOT_FAILED[0] for name, _ in of_the_script):
                        headers.append(HAS_FAILED if status >= HTTPStatus.INTERNAL_SERVER_ERROR else NOT_FAILED)
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
        await _send(send, status, json.dumps({"message": message}).encode(), [*headers, JSON])


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
            return JSONResponse({"message": "no replica is ready yet"}, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "1"})
        version = request.query_params.get("version", "2")
        found = interface.document(version, self._name, described)
        if found is None:
            known = ", ".join(interface.VERSIONS)
            return JSONResponse({"message": f"there is no swagger of this version; versions: {known}"}, HTTPStatus.NOT_FOUND)
        return JSONResponse(found)

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
        }
        counters = {
            "batchinfer_requests_retried_total": ("Requests that were tried again since their replica died.", dispatcher.retried),
            "batchinfer_replicas_restarted_total": ("Replicas that were replaced.", pool.restarted),
        }
        return Response(self._reception.metrics.text(gauges, counters), headers={"content-type": CONTENT_TYPE.decode()})

    def _accepts(self, request: Request) -> bool:
        return self._reception.serving.accepts(dict(request.scope["headers"]).get(b"authorization"))


def routes(score: Score, desk: Desk) -> Router:
    """Every path there is."""
    return Router(
        [
            Route("/score", score),
            Route("/", desk.healthy),
            Route("/health/live", desk.healthy),
            Route("/health/ready", desk.ready),
            Route("/swagger.json", desk.swagger),
            Route("/metrics", desk.metrics),
        ],
        redirect_slashes=False,
        default=_unknown,
    )


def _new_request_id() -> bytes:
    """As uuid.uuid4() makes them, in a third of its time."""
    drawn = os.urandom(16).hex()
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-a{drawn[17:20]}-{drawn[20:]}".encode()


def _unauthorized() -> Response:
    return JSONResponse({"message": "a good key is needed"}, HTTPStatus.UNAUTHORIZED, {"www-authenticate": "Bearer", "connection": "close"})


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await _send(send, HTTPStatus.NOT_FOUND, b'{"message": "there is nothing here"}', [JSON, _CLOSE])


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    has_body = status not in _WITHOUT_BODY
    lengths = [(b"content-length", b"%d" % len(body))] if has_body else []
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, *lengths]})
    await send({"type": "http.response.body", "body": body if has_body else b""})
