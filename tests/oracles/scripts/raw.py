"""Takes the request itself, and answers with responses of its own."""

from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse

RESPONSES = {
    "bytes": lambda: AMLResponse(b"\x89PNG\x00", 200, {"Content-Type": "image/png"}),
    "text": lambda: AMLResponse("text, ä", 200),
    "empty text": lambda: AMLResponse("", 200),
    "none": lambda: AMLResponse(None, 200),
    "json": lambda: AMLResponse({"a": [1]}, 200, json_str=True),
    "created": lambda: AMLResponse("made", 201, {"X-One": "1", "Location": "/score/1"}),
    "no content": lambda: AMLResponse("", 204),
    "not modified": lambda: AMLResponse("", 304),
    "elsewhere": lambda: AMLResponse("", 302, {"Location": "http://127.0.0.1/there"}),
    "bad": lambda: AMLResponse({"why": "no"}, 400, json_str=True),
    "busy": lambda: AMLResponse("busy", 503, {"Retry-After": "7"}),
    "broken": lambda: AMLResponse("broken", 500),
    "says that it failed": lambda: AMLResponse("half", 200, run_function_failed=True),
    "the caller's fault": lambda: AMLResponse("no", 404, run_function_failed=True),
    "many": lambda: AMLResponse("many", 200, {"X-Many": "a, b"}),
    "a date": lambda: AMLResponse("dated", 200, {"Expires": "Thu, 01 Dec 1994 16:00:00 GMT"}),
    "in small letters": lambda: AMLResponse("small", 200, {"content-type": "text/csv"}),
    "ids of its own": lambda: AMLResponse("ids", 200, {"x-request-id": "its own", "x-ms-request-id": "its own"}),
    "plain": lambda: {"a": 1},
    "plain text": lambda: "text",
    "nothing": lambda: None,
}


def init():
    pass


@rawhttp
def run(request):
    assert AMLRequest
    what = request.args.get("do")
    if what == "raise":
        raise ValueError("on purpose")
    return RESPONSES[what]() if what else told(request)


def told(request):
    return {
        "method": request.method,
        "path": request.path,
        "full path": request.full_path,
        "query": request.query_string.decode(),
        "args": dict(request.args),
        "type": request.content_type,
        "header": [request.headers.get("x-kind"), request.headers["X-Kind"], "X-KIND" in request.headers, request.headers.get("X-None")],
        "data": request.get_data().decode("latin-1"),
        "same": request.data == request.get_data(),
        "text": request.get_data(as_text=True) if request.data.isascii() else None,
        "json": request.get_json(force=True, silent=True),
    }
