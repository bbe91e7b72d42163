"""The command line: the same engine without Airflow, for writing and debugging a script in seconds.

    batchinfer run SCRIPT --input URL --output DIR      batchinfer models|datasets|jobs ...

Exit 0 done, 1 the job failed (why, on stderr), 2 wrong arguments, 130 interrupted.
"""

from airflow_batchinfer.cli.main import main

__all__ = ["main"]
