"""One lab per test, in a folder of its own."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_batchinfer.deployment import deploying
from tests.integration.clouds import cloud, server
from tests.integration.deployed import Deployer
from tests.integration.lab import Lab, open_lab
from tests.integration.leftovers import MARK

__all__ = ["cloud", "server"]


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and every program would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    with open_lab(tmp_path) as lab:
        # Also for what a test does in this process.
        monkeypatch.setenv(MARK, lab.mark)
        for name, value in lab.settings.items():
            monkeypatch.setenv(name, value)
        yield lab


@pytest.fixture
def deployer(lab: Lab) -> Iterator[Deployer]:
    made = Deployer(lab)
    yield made
    for known in deploying.all_records(made.workspace):
        deploying.delete(made.workspace, known.name)
