"""Locks on shape: what the documents name exists, and what exists is in the documents."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from airflow_batchinfer.cli import parser
from airflow_batchinfer.planning.config import ParallelRunConfig

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"


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
    pages = (ROOT / "README.md").read_text() + (ROOT / "docs" / "reference.md").read_text()
    assert re.search(rf"(?<![\w-]){option}(?![\w-])", pages)


@pytest.mark.parametrize("name", [field.name for field in fields(ParallelRunConfig)])
def test_every_argument_of_the_configuration_is_documented(name: str):
    assert re.search(rf"\b{name}\b", (ROOT / "docs" / "reference.md").read_text())


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
