"""The worker runs in the user's interpreter, which may be an old one without any of our dependencies."""

import ast
import sys
from pathlib import Path

import pytest

from airflow_batchinfer import worker

MODULES = sorted(Path(worker.__file__).parent.glob("*.py"))
PRIVATE_NAME = "_batchinfer_worker"


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1, "a relative import that leaves the worker"
    return names


def test_there_are_modules_to_look_at():
    assert {"__main__.py", "framing.py", "keeper.py", "rows.py", "script.py", "serving.py"} <= {path.name for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_python_3_8_reads_it(path: Path):
    ast.parse(path.read_text(), str(path), feature_version=(3, 8))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_it_imports_the_standard_library_and_itself_and_nothing_else(path: Path):
    assert imported(ast.parse(path.read_text())) <= {*sys.stdlib_module_names, PRIVATE_NAME}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_annotations_that_python_3_8_cannot_evaluate_are_not_evaluated(path: Path):
    tree = ast.parse(path.read_text())
    postponed = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    annotated = any(isinstance(node, ast.FunctionDef) and (node.args.args or node.returns) for node in ast.walk(tree))
    assert postponed or not annotated or path.name == "__main__.py"
