"""A browser, as a user has one, and the Airflow of the system tests. What is needed here, `make test-services` installs."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright

from dags.demo.standalone import Standalone
from tests.system.conftest import airflow  # noqa: F401 - the same fixture
from tests.system.live import LiveAirflow

# Where a test leaves what it saw: nowhere, unless this names a folder.
SCREENSHOTS = "BATCHINFER_SCREENSHOTS"
OPTIONS = [
    "--no-sandbox",  # root may not use one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


class User:
    """Someone in front of a browser, logged in to Airflow."""

    def __init__(self, browser: BrowserContext, standalone: Standalone) -> None:
        self.airflow = standalone
        self.asked: set[str] = set()
        browser.on("request", lambda request: self.asked.add(request.url))
        self.page = browser.new_page()

    def log_in(self) -> None:
        page = self.go_to("/")
        page.get_by_label("Username").fill(self.airflow.login.user)
        page.get_by_label("Password").fill(self.airflow.login.password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.airflow.url}/")

    def go_to(self, path: str) -> Page:
        self.page.goto(f"{self.airflow.url}{path}")
        return self.page

    def screenshot(self, name: str) -> None:
        if folder := os.environ.get(SCREENSHOTS):
            self.page.screenshot(path=Path(folder, f"{name}.png"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    program = shutil.which("chromium")
    assert program, "there is no chromium on PATH: run make test-services, which installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("browser"), executable_path=program, args=OPTIONS, viewport={"width": 1280, "height": 900}
        )
        yield browser
        browser.close()


@pytest.fixture
def user(browser: BrowserContext, airflow: LiveAirflow) -> Iterator[User]:  # noqa: F811 - the fixture above
    browser.clear_cookies()
    user = User(browser, airflow.standalone)
    user.log_in()
    yield user
    user.page.close()
