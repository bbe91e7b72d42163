"""The scripts of the documents that this project grew from, with not one character changed, and what TensorFlow 1 scripts find.

The documents lie beside a checkout, or do not; the scripts are cut out of them here, and nowhere kept. TensorFlow takes
seconds to import, so all scripts run side by side, once.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from airflow_batchinfer.deployment import deploying
from airflow_batchinfer.deployment.states import Status
from airflow_batchinfer.hooks.scoring_service import ScoringServiceHook
from tests.integration.deployed import Deployer
from tests.integration.lab import PROJECT, Ended, Lab, open_lab
from tests.integration.leftovers import MARK
from tests.trained import put_held_out

SEEDS = PROJECT.parent / "shared" / "seeds"
SCORED = 20
TRAINED = "trained/mnist"
SERVICE = "aks-dnn-mnist"
OURS = """
import json, os
import numpy as np
import tensorflow as tf
def init():
    global session
    tf.reset_default_graph()
    checkpoint = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "mnist-tf.model")
    saver = tf.train.import_meta_graph(checkpoint + ".meta")
    session = tf.Session()
    saver.restore(session, checkpoint)
def run(raw_data):
    scores = session.run("network/output/MatMul:0", {"network/X:0": json.loads(raw_data)["data"]})
    return np.argmax(scores, axis=1).tolist()
"""
# A script of its own, since the others are what they are.
WAYS = """
import json
import tensorflow
import tensorflow as tf
import tensorflow.train as train
import tensorflow.python.framework.ops as ops
from tensorflow import placeholder, nn
from tensorflow.train import Saver
from tensorflow.python.framework.ops import Graph
import tensorflow.compat.v1 as v1
import helper
def complaint(function):
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
def contrib():
    import tensorflow.contrib.slim
def contrib_from():
    from tensorflow.contrib import slim
def init():
    print("ways", json.dumps(told()))
def run(mini_batch):
    return mini_batch
def told():
    return {
        "v1": [tf is tensorflow is v1 is helper.tf, helper.in_a_function() is v1, train.Saver is Saver is v1.train.Saver],
        "of it": [placeholder is v1.placeholder, nn.max_pool is v1.nn.max_pool, Graph is ops.Graph, not tf.executing_eagerly()],
        "others": [helper.as_others_import_it() is not v1, "compat.v1" not in helper.as_others_import_it().nn.__name__],
        "contrib": [complaint(contrib), complaint(contrib_from), complaint(lambda: tf.contrib.slim.nets)],
    }
"""
HELPER = """
import tensorflow as tf
def in_a_function():
    import tensorflow
    return tensorflow
def as_others_import_it():
    found = {"__file__": "/elsewhere/keras/backend.py"}
    exec("import tensorflow", found)
    return found["tensorflow"]
"""


def scripts(document: Path) -> list[str]:
    """The Python blocks that define `run`; a notebook's own first line, which names the file that it writes, is not part of the file."""
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(r"\A%%writefile .*\n", "", block) for block in blocks if re.search(r"^def run\(", block, re.MULTILINE)]


@pytest.fixture(scope="module")
def documents() -> list[str]:
    """Of batch inference in 2019 and 2020, and of a web service in 2021."""
    if not (found := written()):
        pytest.skip(f"there are no documents in {SEEDS}")
    return found


def written() -> list[str]:
    found = [script for document in sorted(SEEDS.glob("*.txt")) for script in scripts(document)]
    assert len(found) in (0, 3)
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("seeds")) as lab, pytest.MonkeyPatch.context() as patch:
        for name, value in {**lab.settings, MARK: lab.mark, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}.items():
            patch.setenv(name, value)  # a service has them from whoever deploys it
        yield lab


@pytest.fixture(scope="module")
def truth(lab: Lab, trained: Path) -> dict[str, int]:
    """Images that training never saw; the checkpoint is registered as the documents do it, as a folder."""
    for name in ("models", "model"):
        (lab.root / name).symlink_to(trained / TRAINED)
    for name, path in (("mnist", "models"), ("tf-dnn-mnist", "model")):
        assert lab.batchinfer("models", "register", name, path, "--workspace", lab.workspace_url).code == 0
    return put_held_out(trained, lab.inputs, SCORED)


@dataclass(frozen=True)
class Scripts:
    """The scripts at work: programs that have ended, and a service that answers."""

    ended: dict[str, Ended]
    service: Status

    def rows(self, name: str) -> dict[str, str]:
        return dict(row.split(": ") for row in Path(self.ended[name].summary["output"]).read_text().splitlines())


@pytest.fixture(scope="module")
def scripts_at_work(lab: Lab, truth: dict[str, int]) -> Iterator[Scripts]:
    """All that there are; without the documents still a service of ours."""
    batch_2019, batch_2020, service = written() or ("", "", OURS)
    lab.script(HELPER, "ways/helper.py")
    placed = {
        "2019": (lab.script(batch_2019, "2019/digit_identification.py"), "--model", "mnist"),
        "2020": (
            lab.script(batch_2020, "2020/digit_identification.py"),
            "--mini-batch-size",
            5,
            "--append-row-file-name",
            "mnist_outputs.txt",
        ),
        "ways": (lab.script(WAYS, "ways/ways.py"),),
    }
    options = ("--processes", 1, "--timeout", 120)
    there = {name: asked for name, asked in placed.items() if asked[0].read_text()}
    deployer = Deployer(lab)
    try:
        number = deployer.begin(service, name=SERVICE, models=["tf-dnn-mnist"], autoscale_enabled=False, cpu_cores=1, memory_gb=1)
        started = {name: lab.start(script, "--output", name, *options, *more) for name, (script, *more) in there.items()}
        ended = {name: program.wait(200) for name, program in started.items()}
        yield Scripts(ended, deploying.wait(deployer.target, SERVICE, number, time.monotonic() + 200, print))
    finally:
        deployer.delete(SERVICE)


@pytest.mark.parametrize("name", ["2019", "2020"])
def test_the_batch_scripts_of_the_documents_run_with_not_one_character_changed(
    documents: list[str], scripts_at_work: Scripts, truth: dict[str, int], name: str
):
    read = scripts_at_work.rows(name)
    assert list(read) == sorted(truth)
    assert sum(int(read[file]) == digit for file, digit in truth.items()) >= 0.9 * SCORED


def test_the_script_of_2021_is_a_service_with_not_one_character_changed_and_answers_the_document_s_own_request(
    documents: list[str], lab: Lab, scripts_at_work: Scripts, truth: dict[str, int]
):
    api_key = ScoringServiceHook(workspace=lab.workspace_url).get_keys(SERVICE)[0]
    headers = {"Content-Type": "application/json", "Authorization": ("Bearer " + api_key)}
    read = {}
    for name in truth:
        pixels = np.asarray(Image.open(lab.inputs / name)).reshape(784)
        input_data = '{"data": [' + str(pixels.tolist()) + "]}"
        resp = requests.post(scripts_at_work.service.scoring_uri, input_data, headers=headers, timeout=60)
        assert resp.status_code == 200
        (read[name],) = json.loads(resp.text)
    assert sum(read[name] == digit for name, digit in truth.items()) >= 0.9 * SCORED


def test_the_log_says_once_that_a_script_was_given_tensorflow_1_and_why(lab: Lab, scripts_at_work: Scripts):
    service = ScoringServiceHook(workspace=lab.workspace_url).logs(SERVICE)
    logs = {"score": service, **{name: program.stderr for name, program in scripts_at_work.ended.items() if name != "ways"}}
    for name, log in logs.items():
        lines = [line for line in log.splitlines() if "the script gets tensorflow.compat.v1 as tensorflow" in line]
        assert len(lines) == 1, name
        assert re.search(rf"{'score' if name == 'score' else 'digit_identification'}\.py:\d+ uses tf\.reset_default_graph", lines[0])


@pytest.fixture(scope="module")
def ways(scripts_at_work: Scripts) -> dict[str, list[Any]]:
    (line,) = (line for line in scripts_at_work.ended["ways"].stderr.splitlines() if " | ways " in line)
    return json.loads(line.partition(" | ways ")[2])


def test_every_way_of_importing_tensorflow_gives_the_script_version_1(ways: dict[str, list[Any]]):
    assert ways["v1"] == [True] * 3
    assert ways["of it"] == [True] * 4


def test_what_is_installed_beside_tensorflow_finds_it_as_it_is(ways: dict[str, list[Any]]):
    assert ways["others"] == [True] * 2


def test_contrib_is_named_with_what_a_script_can_do_without_it(ways: dict[str, list[Any]]):
    told = "tensorflow.contrib ended with TensorFlow 1, and no TensorFlow 2 has it: give the script an environment with TensorFlow 1.15"
    assert all(told in each for each in ways["contrib"])
    assert [each.partition(":")[0] for each in ways["contrib"]] == ["ContribNotImported", "ContribNotImported", "ContribNotFound"]
