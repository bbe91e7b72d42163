"""Which TensorFlow a script gets follows from the one that is installed, too; here a small one that stands for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from airflow_batchinfer.worker import tensorflow_v1

TENSORFLOW_2 = """
__version__ = "2.10.0"
class losses:
    mean_squared_error = "of Keras"
class compat:
    pass
"""
V1 = "Session = 'of version 1'\ndef disable_v2_behavior():\n    pass\n"


@pytest.mark.parametrize(
    ("uses", "gets"),
    [("tf.losses.mean_squared_error", "2"), ("tf.Session", "1"), ("(tf.losses.mean_squared_error, tf.Session)", "1")],
)
def test_a_name_that_the_installed_tensorflow_2_has_is_no_reason_for_version_1(tmp_path: Path, uses: str, gets: str):
    """Those before 2.16 have names in tf.losses and tf.metrics that the one which the list comes from lacks."""
    installed, source = tmp_path / "installed" / "tensorflow", tmp_path / "source"
    (installed / "compat" / "v1").mkdir(parents=True)
    source.mkdir()
    (installed / "__init__.py").write_text(TENSORFLOW_2)
    (installed / "compat" / "__init__.py").write_text("")
    (installed / "compat" / "v1" / "__init__.py").write_text(V1)
    script = source / "score.py"
    script.write_text(f"import tensorflow as tf\ndef run():\n    return {uses}\nprint('version', 1 if 'v1' in tf.__name__ else 2)\n")
    worker = Path(tensorflow_v1.__file__).parents[1]
    arrange = f"from worker.tensorflow_v1 import arrange; arrange('auto', {str(script)!r}, [{str(source)!r}])"
    start = f"import runpy; {arrange}; runpy.run_path({str(script)!r})"
    said = subprocess.run(
        [sys.executable, "-S", "-c", start],
        env={"PYTHONPATH": f"{worker}:{installed.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout.endswith(f"version {gets}\n"), said.stderr
