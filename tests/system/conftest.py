"""One real Airflow for all tests of a run, started when the first of them asks for it."""

from collections.abc import Iterator

import pytest

from dags.demo.rest import Rest
from dags.demo.standalone import Standalone
from tests.system.live import ENVIRONMENT, LiveAirflow


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveAirflow]:
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    standalone = Standalone(folder / "home", folder / "dags", refresh_seconds=1, environment=ENVIRONMENT)
    with standalone, Rest(standalone.url, standalone.login.user, standalone.login.password) as rest:
        yield LiveAirflow(standalone, rest)
