import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_batchinfer.worker.script import MiniBatchContext, Script, Unusable, load


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """A script is loaded into this interpreter: path, arguments and modules are put back."""
    path, arguments, modules = list(sys.path), list(sys.argv), set(sys.modules)
    yield
    sys.path[:], sys.argv[:] = path, arguments
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def script(tmp_path: Path, text: str, *arguments: str) -> Script:
    path = tmp_path / "users_script.py"
    path.write_text(text)
    return load(str(path), str(tmp_path), list(arguments))


def test_run_gets_the_paths(tmp_path: Path):
    assert script(tmp_path, "def run(mini_batch): return [each.upper() for each in mini_batch]").run(["/a"], {}) == ["/A"]


def test_init_comes_first_and_is_optional(tmp_path: Path):
    with_init = script(tmp_path, "def init():\n    global model\n    model = 3\ndef run(mini_batch): return [model]")
    with_init.init()
    assert with_init.run([], {}) == [3]
    script(tmp_path, "def run(mini_batch): return []").init()


def test_shutdown_is_optional(tmp_path: Path):
    script(tmp_path, "def run(mini_batch): return []").shutdown()
    with_shutdown = script(tmp_path, "said = []\ndef run(x): return said\ndef shutdown(): said.append('bye')")
    with_shutdown.shutdown()
    assert with_shutdown.run([], {}) == ["bye"]


@pytest.mark.parametrize("text", ["", "run = 3", "def init(): pass"])
def test_without_run_it_can_never_work(tmp_path: Path, text: str):
    with pytest.raises(Unusable, match=r"users_script.py has no function run\(mini_batch\)"):
        script(tmp_path, text).init()


def test_run_may_be_made_by_init(tmp_path: Path):
    made = script(tmp_path, "def init():\n    global run\n    run = lambda mini_batch: ['made']")
    made.init()
    assert made.run([], {}) == ["made"]


def test_run_is_what_it_is_at_each_call(tmp_path: Path):
    text = "def run(mini_batch):\n    global run\n    run = lambda mini_batch: ['second']\n    return ['first']"
    changing = script(tmp_path, text)
    assert [changing.run([], {}), changing.run([], {})] == [["first"], ["second"]]


CONTEXTS = {
    "def run(mini_batch, mini_batch_context): return mini_batch_context": True,
    "def run(mini_batch, context=None): return context": True,
    "def run(mini_batch, /, context): return context": True,
    "class C:\n    def run(self, mini_batch, context): return context\nrun = C().run": True,
    "def run(mini_batch): return None": False,
    "def run(mini_batch, *, verbose=None): return verbose": False,
    "def run(mini_batch, **more): return more or None": False,
    "def run(*batches): return batches[1:] or None": False,
    "import functools\nrun = functools.partial(lambda verbose, mini_batch: None, 1)": False,
}


@pytest.mark.parametrize("text", CONTEXTS, ids=range(len(CONTEXTS)))
def test_the_context_goes_to_whoever_takes_a_second_positional_argument(tmp_path: Path, text: str):
    found = script(tmp_path, text).run(["/a"], {})
    assert isinstance(found, MiniBatchContext) if CONTEXTS[text] else found is None


def test_the_context_of_files_has_no_keys():
    assert MiniBatchContext().partition_key_value == {}
    assert MiniBatchContext().dataset is None


def test_a_wrapper_of_one_argument_is_called_with_one_whatever_it_wraps(tmp_path: Path):
    text = """
import functools
def timed(function):
    @functools.wraps(function)
    def wrapper(mini_batch):
        return function(mini_batch, None)
    return wrapper
@timed
def run(mini_batch, context):
    return [context]
"""
    assert script(tmp_path, text).run(["/a"], {}) == [None]


def test_the_script_finds_its_arguments_its_siblings_and_itself(tmp_path: Path):
    (tmp_path / "the_sibling.py").write_text("x = 7")
    told = "sys.argv, the_sibling.x, __file__, __name__, sys.modules[__name__].run is run"
    text = f"import sys, the_sibling\ndef run(mini_batch): return [{told}]"
    found = script(tmp_path, text, "--a", "b").run([], {})
    path = str(tmp_path / "users_script.py")
    assert found == [[path, "--a", "b"], 7, path, "users_script", True]


def test_a_script_in_a_folder_finds_what_lies_beside_it_and_at_the_top(tmp_path: Path):
    (tmp_path / "at_the_top.py").write_text("x = 1")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "beside_it.py").write_text("y = 2")
    (tmp_path / "deep" / "users_script.py").write_text("import at_the_top, beside_it\ndef run(x): return [at_the_top.x, beside_it.y]")
    assert load(str(tmp_path / "deep" / "users_script.py"), str(tmp_path), []).run([], {}) == [1, 2]


def test_what_is_no_python_file_is_told_so(tmp_path: Path):
    (tmp_path / "script.txt").write_text("def run(x): return x")
    with pytest.raises(Unusable, match=r"script.txt is not a Python file"):
        load(str(tmp_path / "script.txt"), str(tmp_path), [])


def test_a_script_that_is_meant_to_be_guarded_is_not_run_as_a_program(tmp_path: Path):
    script(tmp_path, "if __name__ == '__main__':\n    raise SystemExit(3)\ndef run(mini_batch): return []").init()
