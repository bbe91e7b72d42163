"""What a service loads before it listens: nothing of what scores mini-batches."""

import subprocess
import sys

NOT_ITS_AFFAIR = ("airflow", "airflow_batchinfer.engine.node", "airflow_batchinfer.engine.coordinator", "numpy", "pandas", "pyarrow")


def test_serve_loads_nothing_that_only_jobs_need():
    program = f"import sys, airflow_batchinfer.cli.serve; print(*(name for name in {NOT_ITS_AFFAIR} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
