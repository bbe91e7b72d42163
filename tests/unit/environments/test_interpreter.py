from pathlib import Path

import pytest

from airflow_batchinfer.environments import Interpreter, own_interpreter


def test_the_interpreter_of_this_process_needs_no_path():
    import sys

    assert own_interpreter().path is None
    assert own_interpreter().executable == sys.executable
    assert Interpreter("/usr/bin/python3", "digest").executable == "/usr/bin/python3"


def test_its_digest_is_the_same_each_time_and_another_with_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = own_interpreter().digest
    assert own_interpreter().digest == before
    monkeypatch.syspath_prepend(str(tmp_path))
    assert own_interpreter().digest == before
    (tmp_path / "new_package-1.0.dist-info").mkdir()
    assert own_interpreter().digest != before
