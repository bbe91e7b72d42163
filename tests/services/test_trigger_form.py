"""The form in which a user gives a run its params, in a real browser."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from dags.demo.rest import wait_until
from tests.services.conftest import User
from tests.system.live import LiveAirflow

pytestmark = pytest.mark.services

FORM = """
from airflow.sdk import DAG, Param, task

params = {
    "mini_batch_size": Param("5", type="string", title="Mini-batch size", description_md="How many files one `run()` call gets."),
    "node_count": Param(2, type="integer", minimum=1, title="Nodes", description_md="How many *nodes* share the work."),
}
with DAG("form", schedule=None, params=params):
    @task
    def told(params=None):
        return dict(params)

    told()
"""


def test_a_user_logs_in_sees_what_each_param_is_changes_one_and_triggers(user: User, airflow: LiveAirflow):
    airflow.add_dag("form.py", FORM)
    page = user.go_to("/dags/form")
    page.get_by_role("button", name="Trigger Dag").click()
    form = page.get_by_role("dialog")
    for text in ("Mini-batch size", "How many files one run() call gets.", "Nodes", "How many nodes share the work."):
        expect(form).to_contain_text(text)
    expect(form.get_by_label("Nodes")).to_have_value("2")
    form.get_by_label("Nodes").fill("3")
    user.screenshot("trigger-form")
    form.get_by_role("button", name="Trigger", exact=True).click()
    [run] = wait_until(lambda: airflow.rest.runs("form"), "the run is there", 30)
    airflow.rest.wait_for("form", run["dag_run_id"])
    assert airflow.rest.xcom("form", run["dag_run_id"], "told") == {"mini_batch_size": "5", "node_count": 3}


def test_the_pages_ask_nobody_but_airflow(user: User):
    user.go_to("/dags").wait_for_load_state("networkidle")
    assert {urlsplit(url).hostname for url in user.asked if not url.startswith(("data:", "blob:"))} == {"127.0.0.1"}
