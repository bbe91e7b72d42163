"""The form in which a user gives a run its params, and the run that comes of it, in a real browser.

The names and ids by which things are found on a page are Airflow 3.3's: where one is not found, look whether Airflow has changed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from airflow_batchinfer import ParallelRunConfig
from tests.services.conftest import FILES, User
from tests.system.live import LiveAirflow

pytestmark = pytest.mark.services

PARAMS = ParallelRunConfig.params(input="digits/*.png", node_count=1)
TASKS = ("plan", "run", "merge")


@pytest.fixture
def form(user: User, digits: str) -> Locator:
    """As a user finds it, who has unfolded nothing in it."""
    user.go_to(f"/dags/{digits}").get_by_role("button", name="Trigger Dag").click()
    return user.page.get_by_role("dialog")


def row(form: Locator, name: str) -> Locator:
    """A param's title, its field and what is said of it."""
    title = re.compile(rf"^{re.escape(PARAMS[name].schema['title'])}\s*\*?$")
    return form.get_by_role("group").filter(has=form.page.locator("label", has_text=title))


def field(form: Locator, name: str) -> Locator:
    return row(form, name).locator("input, textarea").first


def test_the_form_shows_each_param_with_its_title_its_words_and_its_value(user: User, form: Locator):
    assert len(PARAMS) == 7
    for name, param in PARAMS.items():
        # Word by word what is written: neither marks of Markdown nor anything cut off.
        expect(row(form, name).locator("[data-part=helper-text]")).to_have_text(param.schema["description_md"])
        expect(row(form, name)).to_be_visible()
        if name == "logging_level":
            expect(row(form, name)).to_contain_text("INFO")
        else:
            expect(field(form, name)).to_have_value("" if param.value is None else str(param.value))
    user.screenshot("trigger-form-top")
    row(form, "run_max_try").scroll_into_view_if_needed()
    user.screenshot("trigger-form-bottom")


def test_the_form_offers_the_levels_of_logging_as_a_choice(user: User, form: Locator):
    field(form, "logging_level").click()
    expect(user.page.get_by_role("option")).to_have_text(["WARNING", "INFO", "DEBUG"])
    user.screenshot("trigger-form-choice")


def test_a_number_beyond_its_limit_becomes_the_limit(form: Locator):
    for name, typed, kept in (
        ("node_count", "0", "1"),
        ("node_count", "5000", "1024"),
        ("process_count_per_node", "0", "1"),
        ("run_max_try", "0", "1"),
    ):
        field(form, name).fill(typed)
        field(form, name).blur()
        expect(field(form, name)).to_have_value(kept)


def test_a_run_with_changed_params_is_triggered_succeeds_and_shows_its_tasks_as_a_group(
    user: User, form: Locator, airflow: LiveAirflow, digits: str
):
    field(form, "mini_batch_size").fill("5")
    field(form, "node_count").fill("2")
    field(form, "logging_level").click()
    user.page.get_by_role("option", name="WARNING").click()
    form.get_by_role("button", name="Trigger", exact=True).click()
    run = run_of(user.page)
    airflow.rest.wait_for(digits, run)
    assert airflow.rest.run(digits, run)["conf"] == {**values(), "mini_batch_size": "5", "node_count": 2, "logging_level": "WARNING"}
    result = Path(airflow.rest.xcom(digits, run, "score.merge"))
    assert sorted(result.read_text().splitlines()) == ["2 together"] * 2 + ["5 together"] * 10
    shows_the_group_in_the_grid(user, digits, run)
    shows_the_group_as_a_graph(user, nodes=2)


def values() -> Mapping[str, object]:
    return {name: param.value for name, param in PARAMS.items()}


def run_of(page: Page) -> str:
    """The id of the run whose page is shown, which is where the form leads."""
    page.wait_for_url(re.compile("/runs/manual__"))
    return unquote(urlsplit(page.url).path).rsplit("/runs/", 1)[1]


def shows_the_group_in_the_grid(user: User, dag: str, run: str) -> None:
    page = user.go_to_find(f"/dags/{dag}/runs/{run}", expand := "Expand all task groups")
    page.get_by_role("button", name=expand).click()
    for task in TASKS:
        expect(page.locator(f"[id='grid-{run}-score.{task}']")).to_be_visible()
    for label in ("node 0", "node 1"):
        expect(page.get_by_role("link", name=label)).to_be_visible()
    user.screenshot("run-grid")


def shows_the_group_as_a_graph(user: User, nodes: int) -> None:
    user.page.get_by_role("button", name="Show Graph").click()
    shown = user.page.locator(".react-flow__node")
    for task in TASKS:
        box = shown.and_(user.page.locator(f"[data-id='score.{task}']"))
        expect(box).to_contain_text(f"run [{nodes}]" if task == "run" else task)
        expect(box).to_contain_text("success")
    user.screenshot("run-graph")


def test_the_log_page_of_a_node_shows_its_progress_and_folds_what_the_workers_printed(user: User, airflow: LiveAirflow, digits: str):
    run = airflow.score(digits, {"mini_batch_size": "4", "process_count_per_node": 1})
    page = user.go_to(f"/dags/{digits}/runs/{run}/tasks/score.run/mapped/0")
    expect(page.get_by_role("heading", name="score.run [node 0]")).to_be_visible()
    expect(page.get_by_text(re.compile(rf"{FILES} of {FILES} items \(100 %\)"))).to_be_visible()
    fold = page.get_by_text("▶ What the workers printed: 4 lines")
    expect(fold).to_be_visible()
    printed = page.get_by_text("worker 0 | scoring 4 files")
    expect(printed).to_have_count(0)
    user.screenshot("node-log-folded")
    fold.click()
    expect(printed).to_have_count(3)
    expect(page.get_by_text("worker 0 | ready")).to_be_visible()
    user.screenshot("node-log-unfolded")
    page.get_by_text("▼ What the workers printed: 4 lines").click()
    expect(printed).to_have_count(0)


def test_the_pages_ask_nobody_but_airflow(user: User):
    user.go_to("/dags").wait_for_load_state("networkidle")
    assert {urlsplit(url).hostname for url in user.asked if not url.startswith(("data:", "blob:"))} == {"127.0.0.1"}
