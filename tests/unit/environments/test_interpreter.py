import sys

from airflow_batchinfer.environments.interpreter import Interpreter


def test_the_interpreter_of_this_process_needs_no_path_and_keeps_its_variables():
    own = Interpreter()
    assert own.executable == sys.executable
    assert own.variables({"PYTHONPATH": "/x", "A": "1"}) == {"PYTHONPATH": "/x", "A": "1"}


def test_another_interpreter_sees_nothing_that_leads_to_packages_of_ours_and_finds_its_own_programs_first():
    own = {"PYTHONPATH": "/x", "PYTHONHOME": "/y", "VIRTUAL_ENV": "/z", "PATH": "/airflow/bin:/bin", "A": "1"}
    seen = Interpreter("/opt/venv/bin/python").variables(own)
    assert seen == {"A": "1", "PATH": "/opt/venv/bin:/airflow/bin:/bin", "PYTHONNOUSERSITE": "1"}
