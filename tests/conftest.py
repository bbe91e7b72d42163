"""The same examples on every run, and none of them late: a slow machine is no bug. And a home of the tests' own for Airflow."""

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# Airflow reads these when it is imported, which any test may do first: a user's own home is neither read nor written.
for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONFIG"))]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="batchinfer-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

settings.register_profile("steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

pytest_plugins = ["tests.trained"]

SHARED_BY_A_SESSION = {"airflow", "trained"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests run in several processes (make test); those that share what is costly to start run in one of them."""
    for item in items:
        if SHARED_BY_A_SESSION & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("airflow"))
