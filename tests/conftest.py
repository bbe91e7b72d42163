"""The same examples on every run, and none of them late: a slow machine is no bug. And a home of the tests' own for Airflow."""

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

# Airflow reads these when it is imported, which any test may do first: a user's own home is neither read nor written.
for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_HOME", "AIRFLOW_CONFIG"))]:
    del os.environ[name]
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="batchinfer-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

settings.register_profile("steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

pytest_plugins = ["tests.system.live", "tests.trained"]
