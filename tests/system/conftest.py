"""What the tests of real Airflow share, each started when the first test asks for it: one that runs, and one that only tries DAGs."""

from collections.abc import Iterator

import pytest

from dags.demo.rest import Rest
from dags.demo.standalone import Standalone
from tests.system.live import ENVIRONMENT, LiveAirflow
from tests.system.trials import Trials


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveAirflow]:
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    standalone = Standalone(folder / "home", folder / "dags", refresh_seconds=1, environment=ENVIRONMENT)
    with standalone, Rest(standalone.url, standalone.login.user, standalone.login.password) as rest:
        yield LiveAirflow(standalone, rest)


@pytest.fixture(scope="session")
def dag_trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    with Trials(tmp_path_factory.mktemp("trials")) as trials:
        yield trials
