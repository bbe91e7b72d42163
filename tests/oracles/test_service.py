"""What Azure ML's inference server answers ours answers, but for the differences we want; and both begin and end alike."""

import http.client
import signal
from collections.abc import Mapping
from contextlib import closing

import pytest

from tests.integration.leftovers import wait_until
from tests.integration.serving import Callers, begun
from tests.oracles.calls import CALLS, GROUPS, do, get, post
from tests.oracles.differences import BOTH, DIFFERENCES, Difference
from tests.oracles.serving_both import LOST, SCRIPTS, SIDES, THEIRS, Seen, Side, Sides

pytestmark = pytest.mark.oracles
NO_SCRIPT = "no script"
BOTH_DECORATORS = """
from azureml.contrib.services.aml_request import rawhttp
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema
def init(): ...
@rawhttp
@input_schema("data", StandardPythonParameterType(1))
def run(data): ...
"""
# What a script is, and how a server with it begins: the code with which it ends, or that it serves.
SERVES = None
BEGINNINGS: Mapping[str, tuple[str, int | None, int | None]] = {
    "init raises": ("def init():\n    raise ValueError('no model')\ndef run(data): ...\n", 3, 3),
    "init exits": ("import sys\ndef init():\n    sys.exit(5)\ndef run(data): ...\n", 3, 3),
    "there is no script": (NO_SCRIPT, 3, 3),
    "the script is no Python": ("def init(:\n", 3, 3),
    "its import raises": ("import nothing_of_the_kind\ndef init(): ...\ndef run(data): ...\n", 3, 3),
    "there is no run": ("def init(): ...\n", 3, 3),
    "run takes nothing": ("def init(): ...\ndef run(): ...\n", 3, 3),
    "run takes headers only": ("def init(): ...\ndef run(request_headers): ...\n", 3, 3),
    "both decorators": (BOTH_DECORATORS, 3, 3),
    # Better: nothing to load needs no init, and a decorator may hide what run takes.
    "there is no init": ("def run(data): ...\n", 3, SERVES),
    "run takes anything": ("def init(): ...\ndef run(*args): ...\n", 3, SERVES),
    "run takes its argument by place": ("def init(): ...\ndef run(data, /): ...\n", 3, SERVES),
}


def differing(one: Seen, other: Seen) -> set[str]:
    return {name for name in {**one, **other} if one.get(name) != other.get(name)}


def listed(name: str, theirs: Seen, side: str) -> list[Difference]:
    return [each for each in DIFFERENCES if each.is_of(name, CALLS[name], theirs, side)]


@pytest.mark.parametrize("side", BOTH)
@pytest.mark.parametrize("name", CALLS)
def test_both_answer_the_same_and_differ_exactly_where_that_is_listed(sides: Sides, name: str, side: str):
    servers = sides.of(CALLS[name].script)
    theirs, ours = (servers[one].ask(CALLS[name]) for one in (THEIRS, side))
    expected = listed(name, theirs, side)
    answered = differing(theirs, ours)
    wanted = {field for each in expected for field in each.fields if field in {**theirs, **ours}}
    assert answered == wanted, {field: (theirs.get(field), ours.get(field)) for field in answered ^ wanted}
    assert [field for each in expected for field, value in each.ours.items() if ours.get(field) != value] == []


@pytest.mark.parametrize("each", DIFFERENCES, ids=lambda each: f"{each.told}: {each.calls[0]}")
def test_every_difference_and_all_that_it_says_differs_is_seen(sides: Sides, each: Difference):
    seen: set[str] = set()
    for name, call in CALLS.items():
        if not any(each.is_of(name, call, {"status": each.status}, side) for side in BOTH):
            continue
        servers = sides.of(call.script)
        theirs = servers[THEIRS].ask(call)
        for side in each.sides:
            if each.is_of(name, call, theirs, side):
                seen |= differing(theirs, servers[side].ask(call))
    assert set(each.fields) <= seen


@pytest.mark.parametrize("group", GROUPS)
def test_what_is_asked_is_answered_well_too(sides: Sides, group: str):
    assert any(sides.of(call.script)[THEIRS].ask(call)["status"] == 200 for call in GROUPS[group].values())


# How they begin.


@pytest.fixture(scope="module")
def begun_sides(sides: Sides, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Side]]:
    folder = tmp_path_factory.mktemp("beginnings")
    scripts = {name: folder / f"{name.replace(' ', '_')}.py" for name in BEGINNINGS}
    for name, (text, _, _) in BEGINNINGS.items():
        if text is not NO_SCRIPT:
            scripts[name].write_text(text)
    return dict(zip(scripts, sides.start_several(list(scripts.values())), strict=True))


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_script_that_cannot_be_served_ends_both_with_the_same_code(begun_sides: dict[str, dict[str, Side]], name: str):
    _, theirs, ours = BEGINNINGS[name]
    for side, expected in zip(SIDES, (theirs, ours, ours), strict=True):
        program = begun_sides[name][side].program
        assert (None if program.is_running else program.wait().code) == expected, program.stderr


# How they end, and what they keep.


@pytest.fixture(scope="module")
def ending(sides: Sides) -> dict[str, Side]:
    return sides.start(SCRIPTS / "plain.py")


@pytest.mark.parametrize("side", SIDES)
def test_who_was_let_in_is_answered_after_sigterm_and_others_are_not(sides: Sides, ending: dict[str, Side], side: str):
    server = ending[side]
    gate = sides.lab.state / f"gate of {side}"
    with Callers() as callers:
        waiting = callers.call(server.ask, post("plain", {"do": "wait", "with": str(gate)}))  # type: ignore[arg-type]
        wait_until(lambda: begun(gate) == 1, "the request runs")
        server.program.send(signal.SIGTERM)
        if side != THEIRS:  # which takes them, and drops them when it has answered
            wait_until(lambda: server.ask(get("plain")) == LOST, "new connections are refused")
        gate.touch()
        assert waiting.result()["status"] == 200
    assert server.program.wait(30).code == 0
    assert server.ask(get("plain")) == LOST


@pytest.mark.parametrize("side", SIDES)
def test_a_connection_is_kept_by_ours_and_closed_by_theirs(sides: Sides, side: str):
    server = sides.of("plain")[side]
    with closing(server.connect()) as connection:
        server.asked(connection, do("text"))
        assert (connection.sock is None) == (side == THEIRS)


@pytest.mark.parametrize("side", SIDES)
def test_a_request_id_that_is_made_is_another_each_time(sides: Sides, side: str):
    made = {id_made_by(sides.of("plain")[side]) for _ in range(3)}
    assert len(made) == 3
    assert None not in made


def id_made_by(server: Side) -> str | None:
    with closing(server.connect()) as connection:
        connection.request("GET", "/score?a=1")
        response: http.client.HTTPResponse = connection.getresponse()
        response.read()
        return response.getheader("x-request-id")
