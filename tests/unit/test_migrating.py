"""The pages about the original: they name all it has, and what they say is what the tests hold."""

import re

import pytest

from tests.oracles.differences import DIFFERENCES as DIFFERENCES_OF_THE_SERVER
from tests.oracles.values import AGREED, DIFFERENCES
from tests.unit.test_house import ROOT, TESTS, named_tests, rows_of

HOWTO = ROOT / "docs" / "howto" / "migrate-from-azure-parallelrunstep.md"
SERVING = ROOT / "docs" / "howto" / "serve-a-model.md"
DECISIONS = list(rows_of(ROOT / "docs" / "decisions" / "0009-the-original.md"))
STEP = {"name", "parallel_run_config", "inputs", "output", "side_inputs", "arguments", "allow_reuse", "models"}
NAMED_BY_THE_TASK = {
    *("Workspace", "Datastore", "Dataset.register", "AmlCompute", "PipelineData", "PipelineParameter", "Experiment.submit", "RunDetails"),
    *("Pipeline.publish", "Webservice", "Model.register", "Environment", "OutputFileDatasetConfig", "Schedule", "Model.deploy"),
}
OF_A_SERVICE = {
    *("AksCompute", "InferenceConfig", "AksWebservice.deploy_configuration", "Model.deploy", "service.wait_for_deployment"),
    *("service.state", "service.scoring_uri", "service.get_keys", "service.regen_key", "service.get_logs", "service.update"),
    *("service.delete", "aks_target.delete", "AMLRequest", "AksEndpoint"),
}
ANSWERS = {True: ("refused", "taken"), False: ("taken", "refused")}


def first_column(heading: str) -> set[str]:
    """The names in the first column of the table below a heading."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", HOWTO.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {heading}"
    return {name for line in found[1].splitlines() if line.startswith("| `") for name in re.findall(r"`([\w.]+)`", line.split("|")[1])}


def test_the_howto_says_of_every_argument_of_the_original_s_config_what_it_is_here():
    assert first_column("Arguments of `ParallelRunConfig`") == {*AGREED, "environment", "compute_target"}


def test_the_howto_says_of_every_argument_of_the_original_s_step_what_it_is_here():
    assert first_column("Arguments of `ParallelRunStep`") == STEP


def test_the_howto_says_of_the_objects_around_a_step_what_they_are_here():
    assert first_column("Objects around a step") >= NAMED_BY_THE_TASK


def test_the_howto_says_of_the_objects_around_a_service_what_they_are_here():
    assert first_column("Objects around a service") >= OF_A_SERVICE


def test_the_howto_s_table_of_differences_is_the_one_that_the_original_is_asked_about():
    told = [row for row in rows_of(HOWTO) if "because" in row]
    held = [(f"`{each.argument}`", each.told, *ANSWERS[each.we_take], each.reason) for each in DIFFERENCES]
    assert [tuple(row.values()) for row in told] == held, "\n".join(f"| {' | '.join(row)} |" for row in held)


def test_the_howto_s_table_of_what_is_answered_otherwise_is_the_one_that_the_original_server_is_asked_about():
    told = [tuple(row.values()) for row in rows_of(SERVING) if "here" in row]
    held = list(dict.fromkeys((each.told, each.reason) for each in DIFFERENCES_OF_THE_SERVER))
    assert told == held, "\n".join(f"| {' | '.join(row)} |" for row in held)


def test_ten_decisions_are_held():
    assert [row[""] for row in DECISIONS] == [f"D{number}" for number in range(1, 11)]


@pytest.mark.parametrize("row", DECISIONS, ids=lambda row: row[""])
def test_a_decision_names_where_it_is_held_and_tests_that_exist(row: dict[str, str]):
    for path in re.findall(r"`([^`]+)`", row["where"]):
        assert (ROOT / "airflow_batchinfer" / path).is_file(), f"there is no {path}"
    named = re.findall(r"`([^`]+\.py)::(test_\w+)`", row["test"])
    assert named
    for path, name in named:
        assert name in named_tests(TESTS / path), f"tests/{path} has no {name}"
