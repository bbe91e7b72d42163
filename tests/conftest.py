"""The same examples on every run, and none of them late: a slow machine is no bug. And a home of the tests' own for Airflow."""

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Airflow reads these when it is imported, which any test may do first: a user's own home is neither read nor written.
for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONFIG"))]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="batchinfer-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

settings.register_profile("steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

pytest_plugins = ["tests.trained"]

# What costs much to start and is shared by a session: a real Airflow, and trained models.
SHARED = ("tests/system/", "tests/services/", "tests/integration/test_entry_scripts_of_the_dags.py")


class _OneAirflow(LoadScopeScheduling):
    """Tests run in several processes (make test); those that share what is costly to start run in one of them."""

    def _split_scope(self, nodeid: str) -> str:
        return "shared" if nodeid.startswith(SHARED) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """What `--dist loadscope` does. (`loadgroup`, made for this, groups nothing with pytest 9.2 and xdist 3.8.)"""
    return _OneAirflow(config, log)
