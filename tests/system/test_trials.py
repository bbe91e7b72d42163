"""How the other tests read DAG files and try DAGs without a running Airflow."""

import os
from pathlib import Path

import pytest

from tests.system.trials import Trials

DOUBLING = """
from airflow.sdk import DAG, Param, task

with DAG("doubling_in_a_trial", schedule=None, params={"count": Param(3, type="integer", minimum=1)}):
    @task
    def numbers(params=None):
        return list(range(params["count"]))

    @task
    def double(number):
        import os
        print(f"doubling {number} for {os.environ['FOR_WHOM']}")
        if number == 4:
            raise ValueError("four is too many")
        return 2 * number

    @task
    def total(doubles, ti=None, ds=None):
        ti.xcom_push("day", ds)
        return sum(doubles)

    total(double.expand(number=numbers()))
"""


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    file = tmp_path / "doubling.py"
    file.write_text(DOUBLING)
    return file


def test_a_dag_is_tried_with_params_a_date_and_variables_and_tells_states_and_results(dag_trials: Trials, doubling: Path):
    tried = dag_trials.test(doubling, conf={"count": 2}, logical_date="2026-01-02", environment={"FOR_WHOM": "a test"})
    assert (tried.state, tried.tasks["double[1]"]) == ("success", "success")
    assert tried.xcoms["total"] == {"return_value": 2, "day": "2026-01-02"}
    assert tried.xcoms["double[1]"] == {"return_value": 2}
    assert "doubling 1 for a test" in tried.printed
    assert "FOR_WHOM" not in os.environ


def test_a_dag_that_fails_says_so_with_its_traceback(dag_trials: Trials, doubling: Path):
    tried = dag_trials.test(doubling, conf={"count": 5}, environment={"FOR_WHOM": "a test"})
    assert (tried.state, tried.tasks["double[4]"], tried.tasks["total"]) == ("failed", "failed", "upstream_failed")
    assert "four is too many" in tried.printed


def test_a_file_is_read_without_running_it(dag_trials: Trials, doubling: Path):
    read = dag_trials.read(doubling)
    assert read.dags == {"doubling_in_a_trial": ["double", "numbers", "total"]}
    assert (read.import_errors, read.tasks) == ({}, {})


def test_a_file_that_cannot_be_read_says_why(dag_trials: Trials, tmp_path: Path):
    broken = tmp_path / "broken.py"
    broken.write_text("from airflow.sdk import DAG\n1 / 0\n")
    assert "ZeroDivisionError" in dag_trials.read(broken).import_errors[str(broken)]
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        dag_trials.test(broken)


def test_airflow_in_this_process_would_find_a_home_of_the_tests_and_no_settings_of_the_surroundings():
    assert Path(os.environ["AIRFLOW_HOME"]).name.startswith("batchinfer-tests-")
    assert [name for name in os.environ if name.startswith("AIRFLOW__")] == ["AIRFLOW__CORE__LOAD_EXAMPLES"]
