"""How `run` is called with a request, and what is made of what it returns."""

import importlib
import json
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from airflow_batchinfer.worker import azureml
from airflow_batchinfer.worker.calling import Asked, Caller, Reply, caller_of
from airflow_batchinfer.worker.script import Script, Unusable


def caller(**functions: object) -> Caller:
    module = ModuleType("score")
    vars(module).update(functions)
    return caller_of(Script(module), "score.py")


def ask(one: Caller, body: bytes = b"", **header: object) -> Reply:
    return one.run(Asked({"ask": 1, "headers": [], **header}, body))


def test_run_gets_the_body_as_text():
    reply = ask(caller(run=lambda raw_data: {"got": raw_data}), '{"ä": 1}'.encode())
    assert reply.status == 200
    assert json.loads(reply.body) == {"got": '{"ä": 1}'}


@pytest.mark.parametrize(("result", "body"), [(None, b"{}"), ("text", b'"text"'), ([1, 2], b"[1, 2]")])
def test_what_run_returns_is_written_as_json(result: object, body: bytes):
    assert ask(caller(run=lambda raw_data: result)) == Reply(200, body)


def test_a_body_that_is_no_text_is_the_caller_s_fault():
    reply = ask(caller(run=lambda raw_data: 1), b"\xff")
    assert (reply.status, reply.raised) == (400, False)


def test_a_query_becomes_json_with_values_as_json_where_they_are_that():
    one = caller(run=json.loads)
    reply = ask(one, b"a=1&b=[1,2]&c=a&d=null&e=x&e=2&f=", query=True)
    assert json.loads(reply.body) == {"a": 1, "b": [1, 2], "c": "a", "d": None, "e": ["x", 2], "f": ""}


def test_json_that_is_nested_too_deep_is_text_in_a_query_and_400_in_a_body(add):
    deep = b"[" * 50_000
    assert json.loads(ask(caller(run=json.loads), b"a=" + deep, query=True).body) == {"a": deep.decode()}
    assert caller(run_batch=list).run_batch([Asked({"query": True}, b"a=" + deep)])[0].status == 200
    reply = ask(caller(run=add), deep, type="application/json")
    assert (reply.status, reply.raised) == (400, False)


@pytest.mark.parametrize("depth", range(900, 1000, 3))
def test_no_depth_of_a_query_ends_a_replica(depth: int):
    nested = b"a=" + b"[" * depth + b"]" * depth
    [reply] = caller(run_batch=list).run_batch([Asked({"query": True}, nested)])
    assert reply.status in (200, 400)
    assert not reply.raised


def test_a_request_that_cannot_be_made_an_argument_is_an_answer():
    reply = caller(run=lambda raw_data, request_headers: 1).run(Asked({"ask": 1}, b"without headers"))
    assert reply.raised
    assert "KeyError" in reply.traceback


def test_what_run_raises_is_for_the_log_and_not_for_the_caller():
    def run(raw_data):
        raise RuntimeError("the password is x")

    reply = ask(caller(run=run))
    assert (reply.raised, reply.body) == (True, b"")
    assert "the password is x" in reply.traceback
    assert "in run" in reply.traceback


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_whatever_run_raises_is_an_answer(error: BaseException):
    def run(raw_data):
        raise error

    assert ask(caller(run=run)).raised


def test_a_result_that_is_no_json_is_the_script_s_fault():
    reply = ask(caller(run=lambda raw_data: object()))
    assert reply.raised
    assert "cannot be written as JSON" in reply.traceback


def test_run_may_take_the_headers_in_either_place():
    headers = [["X-Tenant", "a"]]
    for run in (lambda raw_data, request_headers: request_headers, lambda request_headers, data: request_headers):
        one = caller(run=run)
        assert one.takes["headers"]
        assert json.loads(ask(one, headers=headers).body) == {"X-Tenant": "a"}


def test_a_header_that_comes_twice_has_both_values():
    one = caller(run=lambda raw_data, request_headers: request_headers)
    assert json.loads(ask(one, headers=[["X-Many", "a"], ["X-One", "b"], ["X-Many", "c"]]).body) == {"X-Many": "a,c", "X-One": "b"}


def test_bytes_of_a_query_that_are_no_utf_8_stay_as_they_were_sent():
    assert json.loads(ask(caller(run=json.loads), b"a=%FF%C3%A4&b=\xff", query=True).body) == {"a": "%FFä", "b": "ÿ"}


def echo(raw_data):
    return raw_data


def as_decorators_make_it(*args: object, **kwargs: object):
    return echo(*args, **kwargs)


def without_a_name(data, /):
    return data


@pytest.mark.parametrize("run", [as_decorators_make_it, without_a_name, "{}".format], ids=["any", "by place", "built in"])
def test_run_gets_the_body_whatever_its_argument_is_called(run):
    assert ask(caller(run=run), b"text").body == b'"text"'


@pytest.fixture
def add(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A `run` under the stand-ins' decorators."""
    monkeypatch.syspath_prepend(azureml.BESIDE)
    kinds = importlib.import_module("inference_schema.parameter_types.standard_py_parameter_type")
    input_schema = importlib.import_module("inference_schema.schema_decorators").input_schema

    @input_schema("a", kinds.StandardPythonParameterType(1))
    def add(a, b=2):
        return a + b

    yield add
    for name in [name for name in sys.modules if name.partition(".")[0] == "inference_schema"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("body", "kind", "status", "answer"),
    [
        (b'{"a": 1, "b": 1}', "application/json", 200, 2),
        (b'{"a": 1, "c": 5}', "application/json; charset=utf-8", 200, 3),
        (b'{"b": 1}', "application/json", 400, {"message": "A value is not provided for the 'a' parameter."}),
        (b"[1]", "application/json", 400, {"message": "the body is not a JSON object"}),
        (b'{"a": 1}', "Application/JSON", 200, 3),
        (b'{"a": 1}', "text/plain", 415, {"message": "Expects Content-Type to be application/json"}),
    ],
)
def test_a_script_with_a_schema_gets_the_values_by_name(add, body: bytes, kind: str, status: int, answer: object):
    one = caller(run=add)
    reply = ask(one, body, type=kind)
    assert (reply.status, json.loads(reply.body)) == (status, answer)
    assert one.takes["interface"] == {
        "input": {"type": "object", "properties": {"a": {"type": "integer", "format": "int64"}, "b": {}}, "example": {"a": 1, "b": ""}},
        "output": {"type": "object"},
        "versions": ["2.0", "3.0", "3.1"],
    }


def test_a_script_may_return_a_response_of_its_own():
    response = SimpleNamespace(status_code=201, data=b"\x89PNG", headers={"Content-Type": "image/png"})
    assert ask(caller(run=lambda raw_data: response)) == Reply(201, b"\x89PNG", headers=[("Content-Type", "image/png")])


@pytest.mark.parametrize(
    ("status", "headers"), [(99, {}), (1000, {}), (200, {"a b": "c"}), (200, {"a": "b\r\nset-cookie: c"}), (200, {"a": "\u0100"})]
)
def test_a_response_that_http_does_not_allow_is_the_script_s_fault(status: int, headers: dict[str, str]):
    response = SimpleNamespace(status_code=status, data=b"", headers=headers)
    assert ask(caller(run=lambda raw_data: response)).raised


def test_a_batch_gives_one_answer_for_each_and_one_bad_body_costs_itself():
    one = caller(run_batch=lambda texts: [text.upper() for text in texts])
    assert one.takes["batches"]
    batch = [Asked({"ask": number}, body) for number, body in enumerate([b"a", b"\xff", b"b"])]
    assert [(reply.status, reply.body) for reply in one.run_batch(batch)][::2] == [(200, b'"A"'), (200, b'"B"')]
    assert one.run_batch(batch)[1].status == 400


@pytest.mark.parametrize(
    "run_batch",
    [
        lambda texts: texts[:-1],
        lambda texts: 1 / 0,
        lambda texts: None,
        dict.fromkeys,
        set,
        lambda texts: "ab",
        lambda texts: pd.DataFrame({text: [1] for text in texts}),
    ],
    ids=["too few", "raises", "none", "dict", "set", "text", "table"],
)
def test_a_batch_that_fails_fails_for_all_and_is_told_once(run_batch):
    replies = caller(run_batch=run_batch).run_batch([Asked({"ask": 1}, b"a"), Asked({"ask": 2}, b"b")])
    assert [reply.raised for reply in replies] == [True, True]
    assert [bool(reply.traceback) for reply in replies] == [True, False]


def test_one_result_of_a_batch_that_cannot_be_written_costs_itself():
    replies = caller(run_batch=lambda texts: [1, object()]).run_batch([Asked({"ask": 1}, b"a"), Asked({"ask": 2}, b"b")])
    assert [reply.raised for reply in replies] == [False, True]


def test_a_script_without_run_can_never_answer():
    with pytest.raises(Unusable, match=r"score.py has no function run\(raw_data\)"):
        caller()
    with pytest.raises(Unusable, match="takes no argument"):
        caller(run=lambda: 1)
