"""The worker runs in the user's interpreter, which may be an old one without any of our dependencies."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from airflow_batchinfer import worker

FOLDER = Path(worker.__file__).parent
STAND_INS = sorted(FOLDER.glob("stand_ins/**/*.py"))
MODULES = [*sorted(FOLDER.glob("*.py")), *STAND_INS]
# What the names that are served import of each other; and what a script that uses them has installed.
SERVED = {"_batchinfer_unserved", "azureml", "azureml_inference_server_http", "entry_script", "inference_schema"}
OF_THE_SCRIPT = {"numpy_parameter_type.py": {"numpy"}, "pandas_parameter_type.py": {"pandas"}}
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
    assert {"model.py", "run.py", "entry_script.py", "schema_decorators.py"} <= {path.name for path in STAND_INS}


def test_what_an_unserved_name_says_to_read_is_there():
    text = (FOLDER / "stand_ins" / "beside" / "_batchinfer_unserved.py").read_text()
    (page,) = re.findall(r'^HOWTO = "(\S+) of airflow-batchinfer"$', text, re.MULTILINE)
    assert (Path(__file__).parents[3] / page).is_file()


@pytest.mark.parametrize("name", sorted({*SERVED, "azureml_user"}))
def test_a_stand_in_is_not_to_be_found_where_no_script_runs(name: str):
    assert importlib.util.find_spec(name) is None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_python_3_8_reads_it(path: Path):
    ast.parse(path.read_text(), str(path), feature_version=(3, 8))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_it_imports_the_standard_library_and_itself_and_nothing_else(path: Path):
    more = SERVED | OF_THE_SCRIPT.get(path.name, set()) if path in STAND_INS else set()
    assert imported(ast.parse(path.read_text())) <= {*sys.stdlib_module_names, PRIVATE_NAME, *more}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_annotations_that_python_3_8_cannot_evaluate_are_not_evaluated(path: Path):
    tree = ast.parse(path.read_text())
    postponed = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    annotated = any(isinstance(node, ast.FunctionDef) and (node.args.args or node.returns) for node in ast.walk(tree))
    assert postponed or not annotated or path.name == "__main__.py"
