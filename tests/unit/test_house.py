"""Locks on shape: what the documents name exists, and what exists is in the documents."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from airflow_batchinfer.cli import parser
from airflow_batchinfer.deployment.targets import LocalTarget
from airflow_batchinfer.environments.python_environment import PythonEnvironment
from airflow_batchinfer.operators.routing import TO_ALL, TO_MERGE, TO_PLAN, TO_RUN
from airflow_batchinfer.planning.compute_target import ComputeTarget
from airflow_batchinfer.planning.config import ParallelRunConfig
from airflow_batchinfer.service.config import InferenceConfig, ServiceConfig

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
OPERATORS = ROOT / "airflow_batchinfer" / "operators"
REFERENCE = ROOT / "docs" / "reference.md"
LESSONS = sorted((ROOT / "dags").glob("[0-9]*.py"))
MOST_LINES_OF_A_LESSON = 60


def rows_of(page: Path) -> Iterator[dict[str, str]]:
    """The rows of every table on a page, by the names of their columns."""
    heads: list[str] = []
    for line in page.read_text().splitlines():
        if not line.startswith("|"):
            heads = []
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not heads:
            heads = cells
        elif set("".join(cells)) - set("-: "):
            yield dict(zip(heads, cells, strict=True))


def named_tests(path: Path) -> set[str]:
    return {
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


FAILURE_MODES = list(rows_of(ROOT / "docs" / "failure-modes.md"))


def test_there_are_failure_modes():
    assert len(FAILURE_MODES) > 20


@pytest.mark.parametrize("row", FAILURE_MODES, ids=range(len(FAILURE_MODES)))
def test_a_failure_mode_names_a_test_that_exists(row: dict[str, str]):
    named = re.findall(r"`([^`]+\.py)::(test_\w+)`", row["test"])
    assert named, f"{row} names no test"
    for path, name in named:
        assert (TESTS / path).is_file(), f"there is no tests/{path}"
        assert name in named_tests(TESTS / path), f"tests/{path} has no {name}"


def options() -> list[str]:
    source = ast.parse(Path(parser.__file__).read_text())
    calls = [node for node in ast.walk(source) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument"]
    given = [argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)]
    return sorted({option for option in given if option.startswith("--")})


def test_there_are_options():
    assert {"--input", "--output", "--workspace", "--no-reuse", "--older-than", "--tag"} <= set(options())


@pytest.mark.parametrize("option", options())
def test_every_option_of_the_command_line_is_documented(option: str):
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", REFERENCE.read_text())


def section(heading: str) -> str:
    """What the reference says below a heading, up to the next."""
    found = re.search(rf"^## `{re.escape(heading)}`\n(.*?)(?=^## |\Z)", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference.md has no section {heading}"
    return found[1]


def keyword_arguments(module: Path, name: str) -> list[str]:
    """Read from the source: Airflow is not imported here."""
    (operator,) = (node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ClassDef) and node.name == name)
    (constructor,) = (node for node in operator.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return [argument.arg for argument in constructor.args.kwonlyargs]


TASKS = {
    "RegisterModel": "register_model.py",
    "DeployScoringService": "scoring_service.py",
    "DeleteScoringService": "scoring_service.py",
    "RegenerateKey": "scoring_service.py",
    "ScoringServiceSensor": "service_sensor.py",
}


def arguments() -> Iterator[tuple[str, str]]:
    """Each argument of the public face, with the section where it belongs."""
    of_the_step = keyword_arguments(OPERATORS / "parallel_run.py", "ParallelRunOperator")
    yield from (("ParallelRunOperator", name) for name in [*of_the_step, *sorted(TO_ALL | TO_PLAN | TO_RUN | TO_MERGE)])
    yield from ((name, argument) for name, module in TASKS.items() for argument in keyword_arguments(OPERATORS / module, name))
    configs = (ParallelRunConfig, PythonEnvironment, ComputeTarget, InferenceConfig, ServiceConfig, LocalTarget)
    yield from ((of.__name__, field.name) for of in configs for field in fields(of))


def test_there_are_arguments():
    some = {("ParallelRunOperator", "inputs"), ("ParallelRunOperator", "retries"), ("RegisterModel", "tags"), ("ComputeTarget", "pool")}
    assert some <= set(arguments())


@pytest.mark.parametrize(("heading", "name"), list(arguments()), ids="-".join)
def test_every_argument_is_documented_where_it_belongs(heading: str, name: str):
    assert re.search(rf"`{name}[`=]", section(heading))


ROUTES = {"`plan`, `run` and `merge`": TO_ALL, "`plan`": TO_PLAN, "`run`": TO_RUN, "`merge`": TO_MERGE}


@pytest.mark.parametrize("tasks", ROUTES)
def test_the_reference_says_to_which_tasks_an_argument_of_airflow_goes(tasks: str):
    (row,) = (row for row in rows_of(REFERENCE) if row.get("to") == tasks)
    assert set(re.findall(r"`(\w+)`", row["arguments"])) - {"compute_target"} == ROUTES[tasks]


def test_there_are_lessons():
    assert len(LESSONS) >= 6


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_every_lesson_is_named_in_the_documents(lesson: Path):
    pages = [ROOT / "README.md", *(ROOT / "docs" / "howto").glob("*.md")]
    assert any(f"dags/{lesson.name}" in page.read_text() for page in pages)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_a_lesson_is_short(lesson: Path):
    assert len(lesson.read_text().splitlines()) <= MOST_LINES_OF_A_LESSON


def test_the_uv_that_make_installs_is_the_one_that_is_locked():
    """Each would replace the other, at every `make`."""
    (made,) = re.findall(r"^UV_VERSION := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    (locked,) = re.findall(r'^name = "uv"\nversion = "(.*)"$', (ROOT / "uv.lock").read_text(), re.MULTILINE)
    assert made == locked


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in an address, as GitHub does it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path):
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}#{anchor}"
