"""Where our answers differ from those of Azure ML's inference server on purpose, with the reason.

`docs/howto/serve-a-model.md` has DIFFERENCES as a table, and a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tests.oracles.serving_both import OURS, OURS_WITH_THEIR_PACKAGES, Call, Seen

BOTH = (OURS, OURS_WITH_THEIR_PACKAGES)
IDS = ("x-request-id", "x-ms-request-id")
WITH_BODY = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
RAN = "x-ms-run-fn-exec-ms"
FAILED = "x-ms-run-function-failed"


@dataclass(frozen=True)
class Difference:
    """Calls by patterns of their names, of which some may be meant only by method or by the status that the original gives.

    Exactly the `fields` differ there. `told` and `reason` are how the documentation puts it; `ours` is what we say instead.
    """

    told: str
    reason: str
    calls: Sequence[str]
    fields: Sequence[str]
    methods: Sequence[str] = ()
    status: int = 0
    sides: Sequence[str] = BOTH
    ours: Mapping[str, object] = field(default_factory=dict)

    def is_of(self, name: str, call: Call, theirs: Seen, side: str) -> bool:
        return (
            side in self.sides
            and any(fnmatchcase(name, pattern) for pattern in self.calls)
            and (not self.methods or call.method in self.methods)
            and self.status in (0, theirs["status"])
        )


_TEXT = ("`Healthy`, and the empty answer to OPTIONS, are `text/plain`", "it is no HTML")
_WORDS = ("the words of 400, 404 and 405", "they are our own")
_FORM = ("a form reaches `run()` as it was sent", "there the body is empty")
_PARTS = ("swagger", "consumes", "produces", "securityDefinitions", "paths", "definitions")
_DOCUMENTS = ("documents: *", "methods: GET /swagger.json", "ids: * at /swagger.json")
_SECOND = ("documents: *.json", "documents: *=2", "documents: *=2.0", "methods: GET /swagger.json", "ids: * at /swagger.json")
DIFFERENCES = (
    Difference(
        *_TEXT,
        ["methods: * /", "paths: /[?]*", "ids: * at /"],
        ["content-type"],
        methods=["GET", "HEAD"],
        status=200,
        ours={"content-type": "text/plain; charset=utf-8"},
    ),
    Difference(
        *_TEXT,
        ["methods: OPTIONS *", "named: by OPTIONS", "raw: by OPTIONS"],
        ["content-type"],
        status=200,
        ours={"content-type": "text/plain; charset=utf-8"},
    ),
    Difference("405 names the methods that are allowed", "HTTP asks for it", ["*"], ["allow"], status=405),
    Difference(
        "405 has the request's ids", "so that it can be found again", ["*"], IDS, methods=["POST", "PUT", "DELETE", "PATCH"], status=405
    ),
    Difference(
        *_WORDS,
        ["*"],
        ["message"],
        methods=["POST", "PUT", "DELETE", "PATCH"],
        status=405,
        ours={"message": "Method not allowed"},
    ),
    Difference(
        *_WORDS,
        ["methods: * /nothing", "paths: *", "ids: * at /nothing"],
        ["message"],
        methods=WITH_BODY,
        status=404,
    ),
    Difference(
        *_WORDS,
        ["bodies: not UTF-8", "named: a list", "named: text", "named: no JSON", "named: nothing"],
        ["message"],
        status=400,
    ),
    Difference(*_WORDS, _DOCUMENTS, ["message"], status=404),
    Difference(
        "the interface names `http` beside `https`",
        "without a certificate that is how it is reached",
        _SECOND,
        ["document: schemes"],
        status=200,
    ),
    Difference(
        "a sample that Swagger 2 cannot describe has no interface of that version",
        "the original looks at the last decorator only",
        ["documents: arrays: swagger.json", "documents: arrays: *=2", "documents: arrays: *=2.0"],
        ["status", "body", "message", *(f"document: {name}" for name in _PARTS)],
        sides=[OURS],
        ours={"status": 404},
    ),
    Difference(
        "a truth of numpy's in an example is `true`, not `\"True\"`",
        "so it can be sent back as it is",
        ["documents: arrays: *=3", "documents: arrays: *=3.0", "documents: arrays: *=3.1"],
        ["document: components"],
        sides=[OURS],
    ),
    Difference(
        "numpy's values, frames and dates are JSON",
        "there they are 500",
        ["results: run returns array", "results: run returns number of numpy", "results: run returns frame", "results: run returns date"],
        ["status", "body", "message", RAN],
        status=500,
        ours={"status": 200},
    ),
    Difference(
        "a result that is no JSON is told as the script's failure",
        "it is",
        [f"results: run returns {what}" for what in ("bytes", "set", "tuple as a key", "object")],
        [FAILED, "message"],
        status=500,
        ours={FAILED: "True"},
    ),
    Difference(
        "`SystemExit` in `run()` is 500 like any other exception, as JSON",
        "there it ends the worker",
        ["results: run exits"],
        ["content-type", "body", "message", FAILED, *IDS],
        status=500,
        ours={"message": "An unexpected error occurred in scoring script. Check the logs for more info.", FAILED: "True"},
    ),
    Difference(
        *_FORM,
        ["bodies: a form"],
        ["body"],
        ours={"body": b'{"got": "a=1&b=2"}'},
    ),
    Difference(*_FORM, ["bodies: parts of a form"], ["body"]),
    Difference(
        "`run()` never sees `Authorization`", "the key is the service's, and would be in the script's log", ["headers: a key"], ["body"]
    ),
    Difference(
        "`run()` sees headers with an underscore",
        "there they are dropped, for WSGI cannot tell them from others",
        ["headers: a header with an underscore"],
        ["body"],
    ),
    Difference(
        "OPTIONS does not run a script with `rawhttp`",
        "it is answered without a key",
        ["raw: by OPTIONS"],
        ["body", RAN],
        ours={"body": b""},
    ),
    Difference(
        "HEAD does not run a script with `rawhttp`, and is 405",
        "it would run for an answer that nobody gets",
        ["raw: by HEAD"],
        ["status", RAN, "allow"],
        ours={"status": 405},
    ),
    Difference(
        "a header of an `AMLResponse` is sent as it is",
        "there it is cut at commas, a date too",
        ["raw: many", "raw: a date"],
        ["x-many", "expires"],
        sides=[OURS],
    ),
    Difference(
        "`content-type` of an `AMLResponse` counts in any case",
        "there both it and the default are sent",
        ["raw: in small letters"],
        ["content-type"],
        sides=[OURS],
        ours={"content-type": "text/csv"},
    ),
    Difference(
        "a body that is no UTF-8 is 400 for a script with `@input_schema` too",
        "there it is 500",
        ["named: not UTF-8"],
        ["status", "message"],
        ours={"status": 400},
    ),
    Difference(
        "any content type that says JSON is JSON, `text/json` too",
        "it is what the caller says it is",
        ["named: text/json"],
        ["status", "body", "message", RAN],
        ours={"status": 200},
    ),
)  # fmt: skip
