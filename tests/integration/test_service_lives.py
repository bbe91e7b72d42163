"""How a service begins and ends, and what becomes of its requests when processes die."""

import json
import os
import signal
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.lab import COMMAND, SCRIPTS, Lab
from tests.integration.leftovers import children, is_alive, wait_for_the_end, wait_until
from tests.integration.serving import KEYS, Callers, Server, begun

RAW_SCRIPT = """
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse


def init():
    pass


@rawhttp
def run(request):
    told = f"{request.method} {request.url} {request.headers.get('X-Tenant')} {request.headers.get('Authorization')}"
    status = int(request.headers.get("X-Status", 201))
    return AMLResponse(told.encode() + b" " + request.data, status, {"Content-Type": "image/png", "Connection": "x"})
"""


SCHEMA_SCRIPT = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.schema_decorators import input_schema


def init():
    pass


@input_schema("data", NumpyParameterType(np.array([[0.5, 1.5]])))
def run(data, factor=1):
    return data * factor
"""
MODEL_SCRIPT = """
import os
import sys

from azureml.core.model import Model


def init():
    global found
    found = os.path.basename(Model.get_model_path("mnist"))


def run(raw_data):
    return [sorted(os.listdir(os.environ["AZUREML_MODEL_DIR"])), found, sys.prefix]
"""


def test_no_request_is_lost_while_replicas_are_killed(lab: Lab):
    server = Server(lab, "answers.py", "--replicas", 2, "--max-wait", 20_000).wait_until_ready()
    with Callers() as callers:
        asked = [callers.call(server.ask, body=number) for number in range(300)]
        for kill in range(4):
            wait_until(lambda kill=kill: sum(one.done() for one in asked) > 50 * (kill + 1), "some are answered")
            victim = wait_until(server.program.workers, "a replica lives")[0]
            lab.kill(victim)
        answers = [one.result() for one in asked]
    assert [answer.status for answer in answers] == [200] * 300
    assert [answer.value for answer in answers] == list(range(300))
    wait_until(lambda: server.metric("batchinfer_replicas_ready") == 2, "both replicas are back")


def test_readiness_counts_replicas_that_live_and_have_been_through_init(lab: Lab):
    gate = lab.state / "init"
    gate.touch()
    server = Server(lab, "answers.py", "--env", f"INIT_GATE={gate}").wait_until_ready()
    assert server.ask("/health/ready").status == 200
    gate.unlink()
    lab.kill(server.program.workers()[0])
    wait_until(lambda: server.ask("/health/ready").status == 503, "nobody is ready")
    assert server.ask("/health/live").status == 200
    with Callers() as callers:
        answer = callers.call(server.ask, body=1).result()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        gate.touch()
    wait_until(lambda: server.ask("/health/ready").status == 200, "the replacement is ready")
    assert server.ask(body=1).status == 200


def test_a_service_that_is_told_to_end_answers_who_was_let_in_and_refuses_others(lab: Lab):
    server = Server(lab, "answers.py", "--replicas", 2, "--max-wait", 20_000).wait_until_ready()
    gate = lab.state / "gate"
    with Callers() as callers:
        asked = [callers.call(server.do, "wait", str(gate)) for _ in range(3)]
        wait_until(lambda: begun(gate) == 2, "both replicas are busy")
        wait_until(lambda: server.metric("batchinfer_requests_waiting") == 1, "the third waits")
        server.program.send(signal.SIGTERM)
        wait_until(lambda: refuses(server), "new connections are refused")
        gate.touch()
        assert [one.result().status for one in asked] == [200] * 3
    assert server.program.wait(20).code == 0
    assert lab.leftovers == []


def refuses(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_second_signal_does_not_wait(lab: Lab):
    server = Server(lab, "answers.py").wait_until_ready()
    with Callers() as callers:
        asked = callers.call(server.do, "hang")
        wait_until(lambda: server.metric("batchinfer_requests_running") == 1, "it hangs")
        server.program.send(signal.SIGINT)
        wait_until(lambda: refuses(server), "it stops")
        assert not asked.done()
        server.program.send(signal.SIGTERM)
        server.program.wait(20)
        assert isinstance(asked.exception(), OSError) or asked.result().status == 503
    assert lab.leftovers == []


def test_when_the_router_is_killed_no_replica_outlives_it(lab: Lab):
    server = Server(lab, "answers.py", "--replicas", 2).wait_until_ready()
    workers = server.program.workers()
    assert len(workers) == 2
    lab.kill(server.program.pid)
    for worker in workers:
        wait_for_the_end(worker, 5)
    assert wait_until(lambda: not lab.leftovers, "their keepers are gone too", 5)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("init_raises.py", "FileNotFoundError: model.h5 is not here"),
        ("no_run.py", "has no function run(raw_data)"),
        ("not_there.py", "there is no file"),
        ("init_exits.py", "never became ready"),
        ("syntax_error.py.txt", "is not a Python file"),
    ],
)
def test_a_script_that_cannot_be_served_ends_the_process_with_3_and_says_why(lab: Lab, script: str, told: str):
    ended = Server(lab, script).program.wait(30)
    assert ended.code == 3, ended.stderr
    assert told in ended.stderr
    if script == "init_raises.py":
        assert "Traceback" in ended.stderr
    assert lab.leftovers == []


def test_so_many_replicas_that_the_machine_would_only_swap_are_refused(lab: Lab):
    refused = Server(lab, "answers.py", "--replicas", "1-100000").program.wait(30)
    assert refused.code == 2
    assert "--replicas '1-100000': at most " in refused.stderr


def test_a_wrong_command_lists_every_fault_and_starts_nothing(lab: Lab):
    given = ["--port", "70000", "--replicas", "0", "--max-wait", "x", "--host", "0.0.0.0", "--no-auth", "--tls-cert", "a"]  # noqa: S104 - refused
    ended = lab.batchinfer("serve", SCRIPTS / "answers.py", *given)
    assert ended.code == 2
    for told in ("--port 70000", "--replicas '0'", "--max-wait 'x'", "--no-auth twice", "--tls-cert and --tls-key go together"):
        assert told in ended.stderr


def test_a_port_that_is_taken_is_told_before_anything_starts(lab: Lab):
    server = Server(lab, "answers.py", "--no-auth").wait_until_ready()
    ended = lab.batchinfer("serve", SCRIPTS / "answers.py", "--port", server.port)
    assert ended.code == 2
    assert f"127.0.0.1:{server.port} cannot be listened on" in ended.stderr
    assert server.ask(body=1, key=None).status == 200  # told to ask for no key


def test_without_a_key_file_there_is_a_new_key_in_a_file_that_is_gone_with_the_service(lab: Lab):
    command = [*COMMAND, "serve", str(SCRIPTS / "answers.py"), "--port", "0"]
    program = lab.start_program(command)
    wait_until(lambda: "Ctrl-C" in program.stderr, "the server is ready")
    [line] = [line for line in program.stderr.splitlines() if line.startswith("  curl")]
    called = subprocess.run(["bash", "-c", line.replace("  curl", "curl --silent", 1)], capture_output=True, text=True, check=True)
    assert called.stdout == '{"data": [1, 2, 3]}'
    key_file = Path(line.partition("head -n1 ")[2].partition(")")[0])
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_text().strip() not in program.stderr
    program.send(signal.SIGINT)
    assert program.wait(20).code == 0
    assert not key_file.exists()


def test_tls_is_an_option(lab: Lab):
    files = [str(lab.root / name) for name in ("cert.pem", "key.pem")]
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run([*make, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    key_file = lab.root / "my keys"
    key_file.write_text(KEYS[0])
    server = Server(lab, "answers.py", "--tls-cert", files[0], "--tls-key", files[1], "--key-file", key_file).wait_until_ready()
    [line] = [line for line in server.log.splitlines() if line.startswith("  curl")]
    called = subprocess.run(["bash", "-c", line.replace("  curl", "curl --silent", 1)], capture_output=True, text=True, check=True)
    assert called.stdout == '{"data": [1, 2, 3]}'
    context = ssl.create_default_context(cafile=files[0])
    with server.connect() as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secret:
        secret.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert secret.recv(65536).startswith(b"HTTP/1.1 200")


def test_several_requests_at_once_have_threads_of_their_own(lab: Lab):
    server = Server(lab, "answers.py", "--max-concurrent", 4).wait_until_ready()
    gate = lab.state / "gate"
    with Callers() as callers:
        asked = [callers.call(server.do, "wait", str(gate)) for _ in range(4)]
        wait_until(lambda: begun(gate) == 4, "four run at once")
        gate.touch()
        assert [one.result().value for one in asked] == ["waited"] * 4


def test_a_batch_is_what_has_come_and_nobody_waits_for_more(lab: Lab):
    server = Server(lab, "answers_in_batches.py", "--max-concurrent", 4, "--max-wait", 20_000).wait_until_ready()
    assert server.ask(body=b"alone").value == 1
    with Callers() as callers:
        first = callers.call(server.ask, body=b"wait")
        wait_until((lab.state / "waiting").exists, "the first runs")
        others = [callers.call(server.ask, body=b"more") for _ in range(3)]
        wait_until(lambda: server.metric("batchinfer_requests_running") == 4, "three more have come")
        (lab.state / "gate").touch()
        assert first.result().value == 1
        assert [one.result().value for one in others] == [3, 3, 3]


def test_each_replica_that_is_served_has_a_gpu_of_its_own_and_more_replicas_than_free_gpus_are_refused(lab: Lab):
    two = {"BATCHINFER_GPUS": "a,b"}
    server = Server(lab, "tells_itself.py", "--replicas", 1, environment=two).wait_until_ready()
    assert server.ask(body=1).value["gpus"] == "a"
    refused = Server(lab, "tells_itself.py", "--replicas", "1-2", environment=two).program.wait(30)
    assert refused.code == 1
    assert "2 replicas need as many GPUs, and 1 of 2 are free" in refused.stderr
    assert Server(lab, "tells_itself.py", environment=two).wait_until_ready().ask(body=1).value["gpus"] == "b"


def test_more_replicas_come_within_seconds_when_there_is_more_to_do(lab: Lab):
    server = Server(lab, "answers.py", "--replicas", "1-3", "--max-wait", 20_000).wait_until_ready()
    assert server.metric("batchinfer_replicas_ready") == 1
    gate = lab.state / "gate"
    with Callers() as callers:
        asked = [callers.call(server.do, "wait", str(gate)) for _ in range(3)]
        wait_until(lambda: begun(gate) == 3, "three run at once", 10)
        gate.touch()
        assert [one.result().status for one in asked] == [200] * 3


def test_more_connections_than_there_are_descriptors_for_are_refused_and_replicas_are_still_replaced(lab: Lab):
    few = ("bash", "-c", 'ulimit -Sn 200; ulimit -Hn 400; exec "$@"', "bash")
    server = Server(lab, "answers.py", "--max-wait", 20_000, within=few).wait_until_ready()
    with ExitStack() as stack:
        for _ in range(150):  # half of what there may be is 200, half of what there was at first is 100
            stack.enter_context(server.connect())
        assert server.ask(body=1).status == 200
        for _ in range(50):
            stack.enter_context(server.connect())
        [worker] = server.program.workers()
        lab.kill(worker)
        wait_until(lambda: server.program.workers() not in ([], [worker]), "another replica is started")
        with server.connect() as one_too_many:
            assert one_too_many.recv(1000).startswith(b"HTTP/1.1 503 ")
    wait_until(lambda: answers(server), "those who left make room")


def answers(server: Server) -> bool:
    try:
        return server.ask(body=1).status == 200
    except OSError:
        return False


def test_who_leaves_while_it_waits_is_not_scored(lab: Lab):
    server = Server(lab, "answers.py", "--max-wait", 20_000).wait_until_ready()
    gate = lab.state / "gate"
    with Callers() as callers:
        first = callers.call(server.do, "wait", str(gate))
        wait_until(lambda: begun(gate) == 1, "the replica is busy")
        with server.connect() as connection:
            body = json.dumps({"do": "wait", "with": str(gate)}).encode()
            head = f"POST /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEYS[0]}\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            wait_until(lambda: server.metric("batchinfer_requests_waiting") == 1, "it waits")
        wait_until(lambda: server.metric("batchinfer_requests_waiting") == 0, "it has left")
        gate.touch()
        assert first.result().value == "waited"
        assert server.ask(body=1).status == 200
    assert begun(gate) == 1
    assert "Exception" not in server.log


def test_a_script_may_ask_for_the_request_itself_and_return_a_response(lab: Lab):
    server = Server(lab, lab.script(RAW_SCRIPT)).wait_until_ready()
    answer = server.ask("/score?a=1", body=b"\xff\xfe", x_tenant="blue")
    assert (answer.status, answer.body) == (201, b"POST /score?a=1 blue None \xff\xfe")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-ms-run-function-failed"] == "False"
    for status in (204, 304):
        bare = f"GET /score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEYS[0]}\r\nx-status: {status}\r\n".encode()
        came = server.raw(bare + b"\r\n" + bare + b"connection: close\r\n\r\n")
        assert [head.split(b" ")[:2] for head in came.split(b"\r\n\r\n")] == [[b"HTTP/1.1", b"%d" % status]] * 2 + [[b""]]


def test_a_replica_whose_keeper_is_killed_or_does_not_answer_is_replaced(lab: Lab):
    server = Server(lab, "answers.py").wait_until_ready()
    for number in (signal.SIGKILL, signal.SIGSTOP):
        [keeper] = wait_until(server.program.keepers, "a keeper lives")
        [worker] = wait_until(lambda keeper=keeper: children(keeper), "a replica lives")
        os.kill(keeper, number)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda worker=worker: not is_alive(worker), "the replica is gone")
        wait_until(lambda: server.ask(body=1, key=KEYS[1]).status == 200, "another answers")
        assert worker not in server.program.workers()
    assert server.metric("batchinfer_replicas_restarted_total") == 2


def test_a_script_with_a_schema_gets_values_of_its_sample_s_type(lab: Lab):
    server = Server(lab, lab.script(SCHEMA_SCRIPT)).wait_until_ready()
    assert server.ask(body={"data": [[1, 2]], "factor": 3}, content_type="application/json").value == [[3.0, 6.0]]
    missing = server.ask(body={"factor": 3}, content_type="application/json")
    assert (missing.status, missing.value["message"]) == (400, "A value is not provided for the 'data' parameter.")
    assert server.ask(body={"data": [[1, 2]]}, content_type="text/plain").status == 415
    described = server.ask("/swagger.json").value["definitions"]["ServiceInput"]
    assert described["example"] == {"data": [[0.5, 1.5]], "factor": ""}
    assert described["properties"]["data"]["items"] == {"type": "array", "items": {"type": "number", "format": "double"}}


def test_a_model_is_where_a_script_looks_for_it_by_its_folder_or_by_azure_ml_s_names_in_a_python_of_its_own_too(lab: Lab):
    weights = lab.root / "weights"
    weights.mkdir()
    (weights / "w.bin").write_bytes(b"1")
    workspace = ["--workspace", lab.workspace_url]
    assert lab.batchinfer("models", "register", "mnist", weights, *workspace).code == 0
    bare = lab.root / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    server = Server(
        lab, lab.script(MODEL_SCRIPT), "--model", "mnist", "--interpreter", bare / "bin" / "python", *workspace
    ).wait_until_ready()
    assert server.ask(body=1).value == [["weights"], "weights", str(bare)]
