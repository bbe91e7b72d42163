"""The Airflow that the tests of one run share: a standalone one, its REST API, and a folder into which tests drop DAG files.

It starts when the first test asks for it and ends with the session. Tests must give their DAGs ids of their own, since
all of them share it, and must not stop it: who wants to kill an Airflow starts one.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dags.demo.rest import Rest, wait_until
from dags.demo.standalone import Standalone

# DAG files are seen within a second and may change at once; the scheduler rests shorter than by default, so that tests wait less.
ENVIRONMENT = {
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    # A run that is deleted between the scheduler's look at all runs and its turn ends Airflow's scheduler: so few at a time.
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "BATCHINFER_GPUS": "",
}


@dataclass(frozen=True)
class LiveAirflow:
    standalone: Standalone
    rest: Rest

    def add_dag(self, name: str, text: str, *, unpause: bool = True, seconds: float = 60.0) -> list[str]:
        """Drop a DAG file, or change it, wait until Airflow has read it, and give the ids of its DAGs, ready to be triggered."""
        before = datetime.now(UTC)
        file = self.standalone.dags_folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        half_written = file.with_name(f"{file.name}.part")
        half_written.write_text(text)
        os.replace(half_written, file)
        found = wait_until(lambda: self._read_since(before, file), f"Airflow reads {file}", seconds)
        for dag in found if unpause else ():
            self.rest.unpause(dag)
        return found

    def _read_since(self, moment: datetime, file: Path) -> list[str]:
        for name, traceback in self.rest.import_errors().items():
            assert name != str(file.relative_to(self.standalone.dags_folder)), traceback
        return [dag["dag_id"] for dag in self.rest.dags() if dag["fileloc"] == str(file) and _when(dag["last_parsed_time"]) > moment]

    def score(self, dag: str, conf: dict[str, Any] | None = None, seconds: float = 120.0) -> str:
        """Trigger a run with these params and wait for its success; its id."""
        run = self.rest.trigger(dag, conf)
        self.rest.wait_for(dag, run, seconds=seconds)
        return run


def _when(moment: str | None) -> datetime:
    return datetime.fromisoformat(moment) if moment else datetime.min.replace(tzinfo=UTC)


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveAirflow]:
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "dags").mkdir()
    standalone = Standalone(
        folder / "home", folder / "dags", refresh_seconds=1, environment={**ENVIRONMENT, "BATCHINFER_CACHE": str(folder / "cache")}
    )
    with standalone, Rest(standalone.url, standalone.login.user, standalone.login.password) as rest:
        yield LiveAirflow(standalone, rest)
