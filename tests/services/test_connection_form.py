"""The form in which a user says where the workspace is, and the button that tries it, in a real browser."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Request, Route, expect

from airflow_batchinfer.provider import get_provider_info
from tests.services.conftest import User
from tests.system.live import LiveAirflow

pytestmark = pytest.mark.services

NAME = "shared_workspace"
TYPE = "Batch inference workspace"
FIELDS = get_provider_info()["connection-types"][0]["conn-fields"]


@pytest.fixture
def form(user: User, airflow: LiveAirflow) -> Iterator[Locator]:
    """With our type chosen, and our fields unfolded."""
    page = user.go_to("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill(NAME)
    form.get_by_label("Connection Type").fill("batch inf")
    expect(page.get_by_role("option")).to_have_text([TYPE])
    page.get_by_role("option").click()
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    yield form
    if any(found["connection_id"] == NAME for found in airflow.rest.request("GET", "/api/v2/connections")["connections"]):
        airflow.rest.delete_connection(NAME)


def test_the_form_of_a_workspace_shows_our_two_fields_and_no_other(user: User, form: Locator):
    ours = form.locator("[data-part=item-content]").filter(has=form.page.locator("#element_root"))
    expect(ours.locator("label")).to_have_text([words["label"] for words in FIELDS.values()])
    expect(ours.locator("[data-part=helper-text]")).to_have_text([words["description"] for words in FIELDS.values()])
    expect(form.locator("#element_root")).to_be_visible()
    expect(form.locator("#element_storage_conn_id")).to_be_visible()
    names = form.locator("[name]").evaluate_all("fields => fields.map(field => field.name)")
    assert [name for name in names if name] == ["connection_id", "description", "element_root", "element_storage_conn_id"]
    user.screenshot("connection-form")


def test_a_workspace_is_saved_and_the_button_says_that_the_folder_can_hold_one(
    user: User, form: Locator, airflow: LiveAirflow, tmp_path: Path
):
    save(form, str(tmp_path))
    [saved] = [found for found in airflow.rest.request("GET", "/api/v2/connections")["connections"] if found["connection_id"] == NAME]
    assert (saved["conn_type"], json.loads(saved["extra"])) == ("batchinfer", {"root": str(tmp_path), "storage_conn_id": None})
    expect(said_of_a_test(user)).to_contain_text(f"{tmp_path} can hold a workspace")
    user.screenshot("connection-works")


def test_the_button_says_why_a_folder_can_hold_no_workspace(user: User, form: Locator):
    save(form, "relative/folder")
    expect(said_of_a_test(user)).to_contain_text(
        "the workspace root 'relative/folder' must be absolute, since every worker has its own folders"
    )
    user.screenshot("connection-fails")


def save(form: Locator, root: str) -> None:
    form.locator("#element_root").fill(root)
    form.locator("#element_root").blur()
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()


def said_of_a_test(user: User) -> Locator:
    """What is shown when the button of the connection was clicked."""
    user.page.route("**/api/v2/connections/test", without_port)
    user.page.get_by_role("row", name=NAME).get_by_role("button", name="Test Connection").click()
    return user.page.get_by_role("status").filter(has_text="Test Connection")


def without_port(route: Route, request: Request) -> None:
    """Airflow 3.3.2's page sends port 0 for a connection without one, and its API then takes the connection for a changed one."""
    asked = request.post_data_json
    if not asked["port"]:
        del asked["port"]
    route.continue_(post_data=json.dumps(asked))
