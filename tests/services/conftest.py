"""A browser, as a user has one, the Airflow of the system tests, and a DAG of ours in it.

What is needed here, `make test-services` installs.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from dags.demo.standalone import Standalone
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
SCRIPT = """
def init():
    print("ready")


def run(mini_batch):
    print(f"scoring {len(mini_batch)} files")
    return [f"{len(mini_batch)} together" for _ in mini_batch]
"""
DIGITS = """
from airflow.sdk import DAG
from airflow_batchinfer import ParallelRunConfig, ParallelRunOperator

with DAG("digits", schedule=None, params=ParallelRunConfig.params(input="digits/*.png", node_count=1)):
    score = ParallelRunOperator(
        task_id="score",
        config=ParallelRunConfig(
            entry_script="digits/score.py",
            error_threshold=0,
            mini_batch_size="{{ params.mini_batch_size }}",
            node_count="{{ params.node_count }}",
            process_count_per_node="{{ params.process_count_per_node }}",
            logging_level="{{ params.logging_level }}",
            run_invocation_timeout="{{ params.run_invocation_timeout }}",
            run_max_try="{{ params.run_max_try }}",
        ),
        inputs="{{ params.input }}",
        allow_reuse=False,
        retries=0,
    )
"""
FILES = 12


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

    def go_to_find(self, path: str, button: str) -> Page:
        """Airflow's page of a run that has just ended stays without its grid now and then, until it is read again."""
        page = self.go_to(path)
        try:
            page.get_by_role("button", name=button).wait_for(timeout=10_000)
        except PlaywrightTimeout:
            page.reload()
        return page

    def screenshot(self, name: str) -> None:
        if folder := os.environ.get(SCREENSHOTS):
            self.page.screenshot(path=Path(folder, f"{name}.png"), animations="disabled")


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


@pytest.fixture(scope="session")
def digits(airflow: LiveAirflow) -> str:
    """A DAG of one step, with the files that it scores, ready to be triggered."""
    inputs = airflow.standalone.home / "batchinfer" / "digits"
    inputs.mkdir(parents=True)
    for number in range(FILES):
        (inputs / f"{number:02d}.png").write_bytes(b"not read")
    script = airflow.standalone.dags_folder / "digits" / "score.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    [dag] = airflow.add_dag("digits.py", DIGITS)
    return dag


@pytest.fixture(scope="session")
def logged_in(browser: BrowserContext, airflow: LiveAirflow) -> BrowserContext:
    """The browser, which remembers who logged in."""
    user = User(browser, airflow.standalone)
    user.log_in()
    user.page.close()
    return browser


@pytest.fixture
def user(logged_in: BrowserContext, airflow: LiveAirflow) -> Iterator[User]:
    user = User(logged_in, airflow.standalone)
    yield user
    user.page.evaluate("localStorage.clear()")  # in which view a DAG was looked at last
    user.page.close()
