"""What its ParallelRunConfig refuses ours refuses, what it takes ours takes, but for the differences we want."""

import ast
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from airflow_batchinfer import ParallelRunConfig
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning.config import is_template
from tests.oracles.asking import Original, Parameter
from tests.oracles.values import AGREED, BASE, DIFFERENCES, Difference

pytestmark = pytest.mark.oracles
Arguments = Mapping[str, object]
HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "migrate-from-azure-parallelrunstep.md"
# Those which could be given when a pipeline was submitted, by the original's documentation.
AT_RUN_TIME = {
    "mini_batch_size": "5",
    "node_count": 2,
    "process_count_per_node": 2,
    "logging_level": "INFO",
    "run_invocation_timeout": 60,
    "run_max_try": 3,
}


def we_take(arguments: Arguments) -> bool:
    try:
        ParallelRunConfig(**arguments)  # type: ignore[arg-type]
    except ConfigError:
        return False
    return True


def same(one: object, other: object) -> bool:
    """Equal and of one type: to Python True is 1; nan is what it is."""
    return type(one) is type(other) and repr(one) == repr(other)


def one_of(value: object, values: Iterable[object]) -> bool:
    return any(same(value, each) for each in values)


def differences(arguments: Arguments) -> list[Difference]:
    given = {**BASE, **arguments}
    found = [each for each in DIFFERENCES if each.argument in arguments and one_of(arguments[each.argument], each.values)]
    return [each for each in found if each.beside is None or one_of(given.get(each.beside[0]), each.beside[1])]


def expected(original: Original, arguments: Arguments) -> bool:
    """What we should say: as the original, of what is left when the differences are taken out; and all these must be of those we take."""
    found = differences(arguments)
    rest = {**arguments, **{each.argument: BASE.get(each.argument, each.like) for each in found}}
    return original.accepts({**BASE, **rest}) and all(each.we_take for each in found)


def told(arguments: Arguments) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def wrong(original: Original, *several: Arguments) -> list[str]:
    """Those on which we do not say what we should."""
    return [
        f"{told(arguments)}: {'taken' if taken else 'refused'} by us"
        for arguments in several
        if (taken := we_take({**BASE, **arguments})) != expected(original, arguments)
    ]


DIFFERENT = {name: [value for each in DIFFERENCES if each.argument == name for value in each.values] for name in AGREED}
ALL = {name: [*values, *DIFFERENT[name]] for name, values in AGREED.items()}
PAIRS = list(itertools.combinations(ALL, 2))


def test_every_argument_that_both_have_is_asked(original: Original):
    assert set(ALL) == set(original.names)


@pytest.mark.parametrize("name", ALL)
def test_both_say_the_same_of_a_value_unless_the_difference_is_listed(original: Original, name: str):
    assert wrong(original, *({name: value} for value in ALL[name])) == []


@pytest.mark.parametrize("each", DIFFERENCES, ids=lambda each: f"{each.argument}: {each.told}")
def test_a_difference_that_is_listed_is_one(original: Original, each: Difference):
    for value in each.values:
        arguments = {**BASE, **({each.beside[0]: each.beside[1][0]} if each.beside else {}), each.argument: value}
        assert (original.accepts(arguments), we_take(arguments)) == (not each.we_take, each.we_take), told(arguments)


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=map("-".join, PAIRS))
def test_both_say_the_same_of_two_values_together(original: Original, one: str, other: str):
    assert wrong(original, *({one: a, other: b} for a, b in itertools.product(ALL[one], ALL[other]))) == []


@pytest.mark.parametrize("name", AT_RUN_TIME)
def test_what_may_be_a_pipeline_parameter_there_may_be_a_param_here(original: Original, name: str):
    assert original.accepts({**BASE, name: Parameter(AT_RUN_TIME[name])})
    assert we_take({**BASE, name: f"{{{{ params.{name} }}}}"})
    assert name in ParallelRunConfig.params()


def test_of_a_cluster_that_is_only_named_the_original_asks_nothing_so_it_does_not_look_at_the_nodes(original: Original):
    assert original.accepts({**BASE, "node_count": 0}, cluster_by_name=True)
    assert not we_take({**BASE, "node_count": 0})


def test_the_config_that_the_howto_begins_with_is_one_that_the_original_takes_and_ours_means_the_same(original: Original):
    there, here = configs_of_the_howto()
    assert original.accepts(there)
    assert {name: value for name, value in here.items() if not is_template(value)} == {
        name: value for name, value in there.items() if not isinstance(value, Parameter)
    }
    assert {name for name, value in here.items() if is_template(value)} == {
        name for name, value in there.items() if isinstance(value, Parameter)
    }


def configs_of_the_howto() -> list[dict[str, object]]:
    """The arguments of its first two ParallelRunConfigs, without the environment and the cluster."""
    blocks = re.findall(r"^```python\n(.*?)^```$", HOWTO.read_text(), re.MULTILINE | re.DOTALL)
    calls = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    configs = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "ParallelRunConfig"]
    return [
        {word.arg: value_of(word.value) for word in call.keywords if word.arg and word.arg not in ("environment", "compute_target")}
        for call in configs
    ]


def value_of(said: ast.expr) -> object:
    return Parameter(ast.literal_eval(said.args[1])) if isinstance(said, ast.Call) else ast.literal_eval(said)
