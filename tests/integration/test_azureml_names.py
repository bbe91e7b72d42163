"""Scripts that import Azure ML's SDK run where there is none: its names are served, and what is not there says so when it is used."""

import json
import venv
from pathlib import Path

import pytest

from airflow_batchinfer.errors import ErrorBudgetSpent
from airflow_batchinfer.registry import Model, ModelRegistry
from tests.integration.lab import PROJECT, Lab

REAL = {
    "azureml/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)",
    "azureml/core/__init__.py": "Model = 'real'",
}
SAYS_WHOSE = """
from azureml.core import Model
try:
    from azureml.train import automl
    beside = "served"
except ImportError as error:
    beside = type(error).__name__
def run(mini_batch):
    return [f"{Model if isinstance(Model, str) else 'ours'} {beside}"] * len(mini_batch)
"""


def register(lab: Lab, name: str, content: str, **how: object) -> Model:
    path = lab.root / "trained" / f"{name}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return ModelRegistry(lab.workspace).register(name, str(path), **how)  # type: ignore[arg-type]


def given(*models: Model) -> list[tuple[str, str]]:
    return [(model.reference, model.digest) for model in models]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a script that uses all of it found, and what became of what it wrote."""
    from tests.integration.lab import open_lab

    with open_lab(tmp_path_factory.mktemp("names")) as lab:
        lab.items("a")
        register(lab, "given", "the given one")
        register(lab, "given", "a newer one")
        register(lab, "other", "prod", tags={"stage": "prod"}, description="for the day")
        register(lab, "other", "test", tags={"stage": "test"})
        folder = lab.root / "two"
        folder.mkdir()
        for name in ("weights", "words"):
            (folder / name).write_text(name)
        ModelRegistry(lab.workspace).register("folder", str(folder))
        ended = lab.run("azureml_everywhere.py", "--model", "given:1", "--processes", 1)
        summary = ended.summary
        (row,) = lab.rows
        return {
            **json.loads(row),
            "job": summary["job"],
            "metrics": summary["metrics"],
            "log": ended.stderr,
            "published": (lab.output / "outputs" / "curve.txt").read_text(),
            "kept": [path.read_text() for path in Path(lab.workspace_url).glob("jobs/*/nodes/*/logs/worker-0/own.log")],
        }


def test_a_model_of_the_job_comes_before_a_newer_one_of_the_registry_and_others_come_by_name(told):
    assert told["given"] == "the given one"
    assert told["folder"] == ["weights", "words"]
    assert told["other"] == ["other", 1, {"stage": "prod"}, "for the day"]
    assert told["older"] == "prod"


def test_models_are_listed_and_downloaded(told):
    assert (told["listed"], told["latest"]) == (["other:2", "other:1"], ["folder:1", "given:2", "other:2"])
    assert told["of the workspace"] == ["folder", "given", "other"]
    assert (told["downloaded"], told["over it"]) == ("prod", "downloaded/other.txt")
    assert told["again"] == "WebserviceException: other:1: downloaded/other.txt is there already; give exist_ok=True to replace it"


def test_the_run_is_the_job_and_the_entry_script_knows_its_place(told):
    assert told["run"] == [told["job"], told["job"], "azureml_everywhere", True, "Completed", True]
    assert told["script"][:2] == [True, True]
    assert told["script"][2].endswith("-0")
    assert told["dir"] is True
    assert told["same"] == [True] * 5
    assert (told["published"], told["kept"]) == ("up", ["kept"])
    assert "WARNING EntryScript: told by the logger" in told["log"]
    assert "is tagged kind=test" in told["log"]


HOWTO = "See docs/howto/migrate-from-azure-parallelrunstep.md of airflow-batchinfer"
NOT_HERE = {
    "dataset": "NotServed: azureml.core.Dataset.get_by_name is not here: it would need a datastore or dataset of Azure's; "
    f"give the step its paths, as inputs or side_inputs. {HOWTO}",
    "secret": "NotServed: azureml.core.run.Run.get_secret is not here: it would need Azure's key vault; "
    f"give secrets as environment_variables of the step. {HOWTO}",
    "environment": "NotServed: azureml.core.Environment is not here: it would need Azure's image builder; "
    f"what a script is to find installed is said by the step's environment. {HOWTO}",
    "module": f"NotServed: azureml.train.automl.AutoMLConfig is not here: it would need Azure ML's own service. {HOWTO}",
    "subclass": f"NotServed: azureml_everywhere.Wrapped is not here: it would need Azure ML's own service. {HOWTO}",
    "constant": f"NotServed: azureml.core.runconfig.DEFAULT_GPU_IMAGE is not here: it would need Azure ML's own service. {HOWTO}",
    "register": "NotServed: azureml.core.model.Model.register is not here: it would need a task of its own; "
    f"RegisterModel registers models in a DAG. {HOWTO}",
    "version": "WebserviceException: Model.get_model_path('other', version='1'): give a whole number",
    "way out": "UserErrorException: upload_file('../../out'): the name leads out of the run's files; give a name such as outputs/curve.png",
}


@pytest.mark.parametrize("what", NOT_HERE)
def test_a_name_that_nothing_stands_for_can_be_imported_and_says_what_it_would_need_when_it_is_used(told, what: str):
    assert told["not here"][what] == NOT_HERE[what]


def test_a_model_that_is_not_registered_is_named_with_those_that_are(told):
    assert told["not here"]["model"].startswith("ModelNotFoundException: there is no model 'nowhere' in the workspace")
    assert told["not here"]["model"].endswith("registered are: folder, given, other")


def test_unserved_names_can_stand_where_python_only_looks_at_them(told):
    assert told["is"] == [False, False, True]
    assert told["caught"] is True


def test_decorators_of_a_web_service_convert_what_they_are_given_samples_of(lab: Lab):
    lab.items("a")
    assert lab.run("decorated_for_a_service.py", "--processes", 1).code == 0
    found = json.loads(lab.rows[0])
    assert found["score"] == [[[1.0, 2.0], [3.0, 4.0]], "float64", {"a": [1.0], "b": ["y"]}, "float64", [1.0, "5"]]
    assert found["as they are"] == ["float64", {"a": [1.0], "b": ["x"]}, "float64", None]
    assert found["shape"] == "ValueError: an array of the shape ('n', 2) is expected, as in the sample, not (1, 3)"
    assert found["type"] == "ValueError: an array is expected, not str"
    assert found["columns"] == "ValueError: 2 columns are expected, as in the sample, not 1"
    assert found["params"] == "ValueError: an array is expected, not str"
    assert found["name"].startswith("ValueError: input_schema('other')")
    assert found["schema"] == [True, "data", "frame", "params", "array"]
    assert found["raw"][:3] == [False, 202, {"got": {"a": 1}, "q": "1", "h": "k"}]
    assert found["raw"][3] == {"Content-Type": "application/json", "x-ms-run-function-failed": "False", "X-More": "1"}


# Whose names.


@pytest.mark.parametrize(
    ("switch", "installed", "row"),
    [
        ("auto", True, "real ModuleNotFoundError"),
        ("true", True, "ours served"),
        ("false", True, "real ModuleNotFoundError"),
        ("auto", False, "ours served"),
    ],
)
def test_the_real_sdk_goes_first_unless_the_config_says_otherwise(lab: Lab, switch: str, installed: bool, row: str):
    lab.items("a")
    for name, text in REAL.items():
        path = lab.root / "installed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    path = f"{PROJECT}:{lab.root / 'installed'}" if installed else str(PROJECT)
    ended = lab.run(lab.script(SAYS_WHOSE), "--azureml-compat", switch, "--processes", 1, environment={"PYTHONPATH": path})
    assert ended.code == 0, ended.stderr
    assert lab.rows == [row]
    assert ("Take azureml-core and azureml-defaults out of the environment" in ended.stderr) == (switch == "auto" and installed)


def test_another_part_of_the_sdk_that_is_installed_without_its_core_is_joined(lab: Lab):
    lab.items("a")
    for name in ("azureml/__init__.py", "azureml/contrib/__init__.py", "azureml/telemetry/__init__.py"):
        path = lab.root / "installed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(REAL["azureml/__init__.py"])
    text = """
import azureml.telemetry
from azureml.contrib.services.aml_response import AMLResponse
from azureml.core import Model
def run(mini_batch):
    return ["/installed/" in azureml.telemetry.__file__, "/stand_ins/" in Model.get_model_path.__code__.co_filename]
"""
    found = {"PYTHONPATH": f"{PROJECT}:{lab.root / 'installed'}"}
    assert lab.run(lab.script(text), "--processes", 1, environment=found).code == 0
    assert lab.rows == ["True", "True"]


def test_what_a_web_service_s_script_imports_is_there_beside_the_real_sdk_which_has_it_not(lab: Lab):
    lab.items("a")
    for name, text in REAL.items():
        path = lab.root / "installed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    script = """
import azureml.contrib.services.aml_request, azureml_inference_server_http.api.aml_request
from azureml.contrib.services import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
def run(mini_batch):
    return [rawhttp is azureml_inference_server_http.api.aml_request.rawhttp, AMLResponse("", 200).data]
"""
    ended = lab.run(lab.script(script), "--processes", 1, environment={"PYTHONPATH": f"{PROJECT}:{lab.root / 'installed'}"})
    assert ended.code == 0, ended.stderr
    assert lab.rows == ["True", "b''"]


def test_a_python_that_has_nothing_installed_is_served_them_too(lab: Lab):
    lab.items("a")
    register(lab, "words", "one")
    bare = lab.root / "bare"
    venv.create(bare, with_pip=False, symlinks=True)
    ended = lab.run("asks_for_model.py", "--interpreter", bare / "bin" / "python", "--processes", 1)
    assert ended.code == 0, ended.stderr
    assert lab.rows == ["a one"]


def test_without_them_the_missing_module_is_named(lab: Lab):
    lab.items("a")
    ended = lab.run(lab.script(SAYS_WHOSE), "--azureml-compat", "false", "--processes", 1)
    assert ended.code == 1
    assert "script.py:2 imports azureml, which its Python" in ended.stderr


def test_a_module_beside_the_script_goes_before_a_name_that_is_served(lab: Lab):
    lab.items("a")
    lab.script("class EntryScript:\n    name = 'their own'\n", "entry_script.py")
    script = lab.script("from entry_script import EntryScript\ndef run(mini_batch):\n    return [EntryScript.name]\n")
    assert lab.run(script, "--azureml-compat", "true", "--processes", 1).code == 0
    assert lab.rows == ["their own"]


def test_the_switch_is_part_of_the_fingerprint_only_where_it_is_set(lab: Lab):
    lab.items("a")
    one, same, other = (lab.begin("names.py", **how).job for how in ({}, {"azureml_compat": "AUTO"}, {"azureml_compat": False}))
    assert one == same != other


def test_a_name_that_is_used_at_import_or_in_init_ends_the_job_at_once(lab: Lab):
    lab.items("a")
    text = "from azureml.core import Dataset\ndef init():\n    Dataset.get_by_name(None, 'labels')\ndef run(mini_batch): ...\n"
    ended = lab.run(lab.script(text), "--processes", 1)
    assert ended.code == 1
    told = "the entry script cannot be used: NotServed: azureml.core.Dataset.get_by_name is not here"
    assert told in ended.stderr
    assert f"{HOWTO} (script.py:3)" in ended.stderr


# Models by name.


def test_a_resumed_job_goes_on_with_the_version_that_it_began_with_and_a_complete_one_is_not_shown_for_a_newer(lab: Lab):
    lab.items("a", "b-poison")
    register(lab, "words", "one")
    with pytest.raises(ErrorBudgetSpent):
        lab.score("asks_for_model.py", mini_batch_size=1, process_count_per_node=1, run_max_try=1)
    register(lab, "words", "two")
    (lab.state / "mended").touch()
    resumed = lab.score("asks_for_model.py", mini_batch_size=1, process_count_per_node=1, run_max_try=1)
    assert resumed.resumed == 1
    assert lab.rows == ["a one", "b-poison one"]
    anew = lab.score("asks_for_model.py", mini_batch_size=1, process_count_per_node=1, run_max_try=1)
    assert (anew.reused, anew.job != resumed.job) == (False, True)
    assert lab.rows == ["a two", "b-poison two"]
    assert lab.score("asks_for_model.py", mini_batch_size=1, process_count_per_node=1, run_max_try=1).reused


def test_a_registry_that_cannot_be_read_is_not_told_as_a_model_that_is_not_there(lab: Lab):
    lab.items("a")
    register(lab, "words", "one")
    for record in (lab.root / "workspace").glob("models/words/**/*.json"):
        record.write_text("{")
    text = """
from azureml.core import Model
from azureml.exceptions import ModelNotFoundException, WebserviceException
def run(mini_batch):
    try:
        return [Model.get_model_path("words")]
    except ModelNotFoundException:
        return ["not there"]
    except WebserviceException:
        return ["failed"]
"""
    lab.score(lab.script(text), process_count_per_node=1)
    assert lab.rows == ["failed"]


def test_a_script_may_ask_at_its_end(lab: Lab):
    lab.items("a")
    register(lab, "words", "one")
    text = """
import os
from pathlib import Path
from azureml.core import Model
def run(mini_batch):
    return mini_batch
def shutdown():
    Path(os.environ["STATE_DIR"], "words").write_text(Path(Model.get_model_path("words")).read_text())
"""
    lab.score(lab.script(text), process_count_per_node=1)
    assert (lab.state / "words").read_text() == "one"


def test_a_model_that_is_nowhere_fails_init_with_its_name(lab: Lab):
    lab.items("a")
    ended = lab.run("asks_for_model.py", "--processes", 1)
    assert ended.code == 1
    assert "ModelNotFoundException: there is no model 'words' in the workspace" in ended.stderr


def test_a_process_that_a_script_starts_has_the_names_but_no_way_to_the_node(lab: Lab):
    lab.items("a")
    text = """
import multiprocessing
from azureml.core import Model
def ask(_):
    try:
        Model.get_model_path("words")
    except Exception as error:
        return str(error)
def run(mini_batch):
    with multiprocessing.get_context("fork").Pool(1) as forked, multiprocessing.get_context("spawn").Pool(1) as spawned:
        return [forked.map(ask, [0])[0] + " // " + spawned.map(ask, [0])[0]]
"""
    ended = lab.run(lab.script(text), "--processes", 1)
    assert ended.code == 0, ended.stderr
    forked, spawned = lab.rows[0].split(" // ")
    assert "only the process that runs init() and run() can ask for this" in forked
    assert spawned == "only the process that runs init() and run() can ask for this, not one that the script started"


# Metrics.

EXPECTED = {
    "items": {"count": 4, "last": 1, "sum": 4, "min": 1, "max": 1},
    "sizes": {"count": 4, "last": 5, "sum": 12, "min": 1, "max": 5},
    "first.file": {"count": 4, "last": "e"},
    "first.size": {"count": 4, "last": 5, "sum": 12, "min": 1, "max": 5},
}


@pytest.mark.parametrize("processes", [1, 3])
def test_what_a_mini_batch_logs_is_in_the_summary_once_however_often_it_was_tried(lab: Lab, processes: int):
    lab.items("a", "b-flaky", "c-poison", "d-flaky", "e")
    summary = lab.score(
        "logs_metrics.py", mini_batch_size=1, process_count_per_node=processes, error_threshold=-1, run_max_try=2, run_invocation_timeout=30
    )
    assert (summary.mini_batches_failed, summary.rows) == (1, 4)
    assert summary.metrics == EXPECTED
    assert json.loads((lab.output / "_summary.json").read_text())["metrics"] == EXPECTED
    again = lab.score(
        "logs_metrics.py", mini_batch_size=1, process_count_per_node=processes, error_threshold=-1, run_max_try=2, run_invocation_timeout=30
    )
    assert (again.reused, again.metrics) == (True, EXPECTED)


def test_the_parts_of_an_isolated_mini_batch_log_what_succeeded(lab: Lab):
    lab.items("a", "b", "c-poison", "d")
    summary = lab.score("logs_metrics.py", process_count_per_node=1, error_threshold=1, run_max_try=1, isolate_failures=True)
    assert summary.metrics["sizes"] == {"count": 3, "last": 4, "sum": 7, "min": 1, "max": 4}
    assert summary.metrics["first.file"] == {"count": 2, "last": "d"}


def test_every_value_is_in_the_log_those_of_init_too_which_are_in_no_summary(lab: Lab):
    lab.items("a")
    ended = lab.run("logs_metrics.py", "--processes", 1)
    lines = [line.partition("| ")[2] for line in ended.stderr.splitlines() if "| metric" in line]
    one = ["metric items: 1", "metric sizes: 1", "metric first.file: a", "metric first.size: 1"]
    assert lines == ["metric at import: 1", "metric in init: 1", *one, "metric in shutdown: 1"]
    assert set(ended.summary["metrics"]) == {"items", "sizes", "first.file", "first.size"}


def test_a_script_without_a_log_call_has_no_metrics(lab: Lab):
    lab.items("a")
    assert lab.score("names.py", process_count_per_node=1).metrics == {}
