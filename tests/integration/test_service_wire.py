"""Each row of the wire on a real server; what a profile changes, under the other one too. They are shared: nothing here may end one."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.lab import open_lab
from tests.integration.leftovers import wait_until
from tests.integration.serving import KEYS, Answer, Callers, Server, begun

SCORING_SECONDS = 1.5
WAIT_SECONDS = 0.4
MESSAGE = "An unexpected error occurred in scoring script. Check the logs for more info."


def serving(folder: Path, profile: str) -> Iterator[Server]:
    with open_lab(folder) as lab:
        limits = ["--scoring-timeout", int(1000 * SCORING_SECONDS), "--max-wait", int(1000 * WAIT_SECONDS)]
        yield Server(lab, "answers.py", "--replicas", 2, "--status-profile", profile, *limits).wait_until_ready()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("aks"), "aks")


@pytest.fixture(scope="module")
def inference_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("inference-server"), "inference-server")


def told(server: Server, what: str) -> None:
    wait_until(lambda: what in server.log, f"the log tells {what}")


@contextmanager
def both_busy(server: Server) -> Iterator[None]:
    """Both replicas answer when the block ends; so they are known to be well, and each is replaced at once when it dies."""
    gate = server.lab.state / f"gate-of-both-{time.monotonic_ns()}"
    with Callers() as callers:
        held = [callers.call(server.do, "wait", str(gate)) for _ in range(2)]
        wait_until(lambda: begun(gate) == 2, "both replicas are busy")
        yield
        gate.touch()
        assert [one.result().status for one in held] == [200, 200]


def wait_for_both(server: Server) -> None:
    wait_until(lambda: server.metric("batchinfer_replicas_ready") == 2, "both replicas are back")
    with both_busy(server):
        pass


def test_the_root_says_that_it_is_healthy(server: Server):
    answer = server.ask("/", key=None)
    assert (answer.status, answer.body) == (200, b"Healthy")
    assert answer.headers["content-type"].startswith("text/plain")


def test_run_gets_the_body_and_its_result_comes_back_as_json(server: Server):
    answer = server.ask(body={"data": [1, "ä"]})
    assert (answer.status, answer.value) == (200, {"data": [1, "ä"]})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-ms-run-function-failed"] == "False"
    assert float(answer.headers["x-ms-run-fn-exec-ms"]) >= 0


def test_a_request_id_is_echoed_or_made(server: Server):
    assert server.ask(body=1, x_request_id="mine").headers["x-request-id"] == "mine"
    made = [server.ask(body=1).headers["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    assert all(len(one) == 36 for one in made)


def test_a_request_id_of_more_than_a_hundred_characters_is_431(server: Server):
    assert server.ask(body=1, x_request_id="x" * 100).status == 200
    assert server.ask(body=1, x_request_id="x" * 101).status == 431


@pytest.mark.parametrize("path", ["/score?a=1", "/", "/swagger.json", "/health/ready"])
def test_the_caller_s_own_id_comes_back_on_every_page(server: Server, path: str):
    answer = server.ask(path, x_ms_client_request_id="theirs", traceid="trace")
    assert answer.status == 200
    assert (answer.headers["x-ms-client-request-id"], answer.headers["x-ms-request-id"]) == ("theirs", "theirs")
    assert answer.headers["traceid"] == "trace"
    assert server.ask(path, x_ms_client_request_id="x" * 101).status == 431


@pytest.mark.parametrize("path", ["/", "/swagger.json", "/metrics"])
def test_a_page_is_only_read(server: Server, path: str):
    answer = server.ask(path, body=1)
    assert (answer.status, answer.headers["allow"], answer.value["message"]) == (405, "OPTIONS, GET, HEAD", "Method not allowed")
    assert server.ask(path, method="OPTIONS", key=None).status == 200
    assert server.ask(path, method="HEAD").body == b""


def test_the_query_of_a_get_is_given_as_json(server: Server):
    assert server.ask("/score?a=1&b=[1]&c=x&c=2").value == {"a": 1, "b": [1], "c": ["x", 2]}


@pytest.mark.parametrize(("what", "body"), [("none", b"{}"), ("text", b'"text"'), ("numbers", b'{"digits": [1, 2], "best": 0.5}')])
def test_whatever_run_returns_is_json(server: Server, what: str, body: bytes):
    assert server.do(what).body == body


def test_a_body_of_any_content_type_reaches_run(server: Server):
    answer = server.ask(body=b"a=1&b=2", content_type="application/x-www-form-urlencoded")
    assert answer.value == {"text": "a=1&b=2"}


@pytest.mark.parametrize("what", ["raise", "object"])
def test_what_run_raises_is_told_to_the_log_and_not_to_the_caller(server: Server, what: str):
    answer = server.do(what, x_request_id=f"bad-{what}")
    assert answer.status == 502
    assert answer.value == {"message": MESSAGE}
    assert answer.headers["x-ms-run-function-failed"] == "True"
    told(server, f"request bad-{what}: {answer.status}")
    told(server, {"raise": "ZeroDivisionError: division by zero", "object": "cannot be written as JSON"}[what])


@pytest.mark.parametrize("what", ["exit", "segfault", "junk"])
def test_a_request_that_kills_its_replica_is_tried_once_more_and_then_failed(server: Server, what: str):
    retried, restarted = (server.metric(f"batchinfer_{name}_total") for name in ("requests_retried", "replicas_restarted"))
    answer = server.do(what)
    assert answer.status == 502
    assert answer.headers["x-ms-run-function-failed"] == "True"
    assert server.metric("batchinfer_requests_retried_total") == retried + 1
    wait_until(lambda: server.metric("batchinfer_replicas_restarted_total") == restarted + 2, "both replicas are replaced")
    told(server, {"exit": "exited with code 7", "segfault": "killed by SIGSEGV", "junk": "it wrote what is no answer"}[what])
    wait_for_both(server)


def test_a_request_whose_replica_dies_of_something_else_is_answered(server: Server):
    gate = server.lab.state / "dies"
    gate.unlink(missing_ok=True)
    assert server.do("die once", str(gate)).value == "survived"
    wait_for_both(server)


def test_a_run_that_hangs_is_ended_at_its_deadline_and_its_replica_replaced(server: Server):
    began = time.monotonic()
    answer = server.do("hang")
    assert answer.status == 504
    assert answer.headers["x-ms-run-function-failed"] == "True"
    assert SCORING_SECONDS <= time.monotonic() - began < SCORING_SECONDS + 1.5
    told(server, f"run() took longer than {SCORING_SECONDS:g} s")
    wait_until(lambda: server.metric("batchinfer_replicas_ready") == 2, "its replica is replaced")


@pytest.mark.parametrize("profile", ["server", "inference_server"])
def test_who_waits_longer_than_is_allowed_gets_503_and_when_to_come_again(profile: str, request: pytest.FixtureRequest):
    server: Server = request.getfixturevalue(profile)
    with both_busy(server):
        began = time.monotonic()
        answer = server.ask(body=1)
        assert WAIT_SECONDS <= time.monotonic() - began < WAIT_SECONDS + 0.9
    assert (answer.status, answer.headers["x-ms-run-function-failed"]) == (503, "False")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("raise", "ZeroDivisionError: division by zero"),
        ("exit", "exited with code 7"),
        ("hang", f"run() took longer than {SCORING_SECONDS:g} s"),
    ],
)
def test_under_the_other_profile_whatever_the_script_does_wrong_is_500(inference_server: Server, what: str, why: str):
    wait_for_both(inference_server)
    answer = inference_server.do(what, x_request_id=f"bad-{what}")
    assert (answer.status, answer.headers["x-ms-run-function-failed"]) == (500, "True")
    told(inference_server, f"request bad-{what}: 500")
    told(inference_server, why)


def test_a_body_that_is_not_utf_8_is_400(server: Server):
    answer = server.ask(body=b"\xff\xfe")
    assert answer.status == 400
    assert "not UTF-8" in answer.value["message"]


def test_other_methods_are_405_and_other_paths_404(server: Server):
    answer = server.ask(method="PUT", body=1)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, OPTIONS")
    assert server.ask("/scores").status == 404
    assert server.ask("/score/").status == 404


def test_options_is_200_and_empty_and_asks_for_no_key(server: Server):
    answer = server.ask(method="OPTIONS", key=None)
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("query", "status", "form"), [("", 200, "swagger"), ("?version=3", 200, "openapi"), ("?version=9", 404, "message")]
)
def test_the_interface_is_there_in_two_versions(server: Server, query: str, status: int, form: str):
    answer = server.ask(f"/swagger.json{query}")
    assert answer.status == status
    assert form in answer.value


def test_health_asks_for_no_key_and_counts_replicas(server: Server):
    assert server.ask("/health/live", key=None).status == 200
    answer = server.ask("/health/ready", key=None)
    assert (answer.status, answer.value) == (200, {"replicas_ready": 2, "replicas_wanted": 2})


@pytest.mark.parametrize("path", ["/score", "/swagger.json", "/metrics"])
@pytest.mark.parametrize("key", [None, "x" * 26, KEYS[0][:-1]], ids=["none", "wrong", "shorter"])
def test_without_a_good_key_there_is_401(server: Server, path: str, key: str | None):
    answer = server.ask(path, key=key)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_either_key_is_good(server: Server):
    assert [server.ask(body=1, key=key).status for key in KEYS] == [200, 200]


HEAD = b"POST /score HTTP/1.1\r\nhost: x\r\n"


def authorized(head: bytes) -> bytes:
    return HEAD + b"authorization: Bearer " + KEYS[0].encode() + b"\r\n" + head + b"\r\n"


@pytest.mark.parametrize(
    "head",
    [b"content-length: 50000000\r\n", b"transfer-encoding: chunked\r\n", b"content-length: 9\r\nexpect: 100-continue\r\n"],
    ids=["long", "endless", "asks first"],
)
def test_401_comes_before_the_body_is_read_and_the_connection_ends(server: Server, head: bytes):
    came = server.raw(HEAD + head + b"\r\n")
    assert came.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in came.lower()


@pytest.mark.parametrize("length", [b"104857601", b"999999999999999"])
def test_413_comes_before_the_body_is_read(server: Server, length: bytes):
    assert server.raw(authorized(b"content-length: " + length + b"\r\n")).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"\x00" * 1000,
        HEAD + b"content-length: x\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"a: " + b"b" * (300 << 10),
        authorized(b"transfer-encoding: chunked\r\n") + b"zz\r\n",
        authorized(b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 1\r\n") + b"1",
    ],
    ids=["tls", "no version", "zeros", "no length", "two lengths", "endless header", "bad chunk", "upgrade"],
)
def test_what_is_no_request_ends_its_own_connection_and_nothing_else(server: Server, sent: bytes):
    came = server.raw(sent)
    assert came == b"" or came.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 "))
    assert server.ask(body=1).status == 200
    assert "Invalid HTTP request" not in server.log  # who has no key writes nothing there


@pytest.mark.parametrize("path", [b"/", b"/health/live", b"/nothing"])
def test_a_body_that_nobody_asked_for_is_not_read_on(server: Server, path: bytes):
    assert server.raw(b"POST " + path + b" HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").startswith(b"HTTP/1.1 40")


def test_a_connection_serves_one_request_after_the_other(server: Server):
    request = authorized(b"content-length: 1\r\n") + b"1"
    last = request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert server.raw(request + request + last).count(b"HTTP/1.1 200 OK") == 3


def test_a_large_body_and_a_large_answer_pass(server: Server):
    text = "x" * (12 << 20)
    assert server.ask(body=text).value == text


def test_what_a_replica_prints_never_blocks_it(server: Server):
    assert server.do("print").status == 200


def test_no_key_and_no_body_is_in_the_log(server: Server):
    server.ask(body={"x": "the body is secret"}, key="wrong-key-0123456789")
    server.ask(body={"do": "raise", "with": "the body is secret"}, x_request_id="holds-a-secret")
    told(server, "request holds-a-secret: 502")
    for secret in (*KEYS, "the body is secret", "wrong-key-0123456789"):
        assert secret not in server.log


def test_requests_are_counted_by_status(server: Server):
    counted = server.metric('batchinfer_requests_total{status="431"}')
    server.ask(body=1, x_request_id="x" * 101)
    assert server.metric('batchinfer_requests_total{status="431"}') == counted + 1
    assert server.metric("batchinfer_run_seconds_count") > 0


def test_keys_that_are_changed_let_the_other_s_holders_in_all_the_time(server: Server):
    new = "third-key-0123456789abcdef"

    def statuses(key: str) -> int:
        assert server.ask(body=1, key=KEYS[1]).status == 200
        return server.ask(body=1, key=key).status

    path = Path(server.key_file)
    path.write_text(f"{new}\n{KEYS[1]}\n")
    try:
        wait_until(lambda: statuses(new) == 200, "the new key is good")
        assert server.ask(body=1, key=KEYS[0]).status == 401
    finally:
        path.write_text("\n".join(KEYS))
    wait_until(lambda: statuses(KEYS[0]) == 200, "the old key is good again")


def test_every_answer_is_json_with_a_message_when_it_is_an_error(server: Server):
    answers: list[Answer] = [server.ask(body=1, key=None), server.ask("/nothing"), server.ask(body=b"\xff"), server.do("raise")]
    assert all(json.loads(answer.body)["message"] for answer in answers)
