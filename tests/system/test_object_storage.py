"""The howto on object storage, done on Azurite: its DAG scores a container of real digits with its script, in a real Airflow."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dags.demo.digits import WORDS, enlarged
from tests.faults.azurite import Azurite, azurite
from tests.system.live import LiveAirflow

pytestmark = pytest.mark.services

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "use-object-storage.md"
SCRIPT, DAG = re.findall(r"^```python\n(.*?)^```$", HOWTO.read_text(), re.MULTILINE | re.DOTALL)
IMAGES = 200


def png(grey: np.ndarray) -> bytes:
    stream = io.BytesIO()
    enlarged(grey).save(stream, "png")
    return stream.getvalue()


def means() -> str:
    """Of the images that are not scored: a model that is a table."""
    digits = load_digits()
    stream = io.StringIO()
    for digit in range(len(WORDS)):
        known = digits.images[IMAGES:][digits.target[IMAGES:] == digit]
        csv.writer(stream).writerow(np.mean([np.asarray(enlarged(grey), float).reshape(-1) for grey in known], axis=0).round(2))
    return stream.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[Azurite]:
    with azurite() as server:
        server.make_container("digits")
        with server.container("digits") as container:
            for number, grey in enumerate(load_digits().images[:IMAGES]):
                container.upload_blob(f"images/digit_{number:04}.png", png(grey))
            container.upload_blob("words.txt", "\n".join(WORDS))
            container.upload_blob("means.csv", means())
        yield server


def test_the_howto_s_dag_scores_a_container_of_digits_and_its_result_lies_in_the_container(airflow: LiveAirflow, server: Azurite) -> None:
    workspace = {"root": "abfs://digits/batchinfer", "storage_conn_id": "digits_store"}
    airflow.rest.add_connection("digits_store", "wasb", login=server.account, password=server.key, host=server.url)
    airflow.rest.add_connection("digits_workspace", "batchinfer", extra=json.dumps(workspace))
    beside = airflow.standalone.dags_folder / "on_azure"
    beside.mkdir()
    (beside / "score.py").write_text(SCRIPT)
    (beside / ".airflowignore").write_text("score.py\n")
    (found,) = airflow.add_dag("on_azure/score_digits.py", DAG)
    run = airflow.score(found)

    output = airflow.rest.xcom(found, run, "score.merge")
    assert output == f"abfs://digits_store@digits/scored/{run}/parallel_run_step.txt"
    assert airflow.rest.xcom(found, run, "count") == IMAGES
    with server.container("digits") as container:
        rows = container.download_blob(f"scored/{run}/parallel_run_step.txt").readall().decode().splitlines()
        blobs = {blob.name: container.download_blob(blob.name).readall() for blob in container.list_blobs(name_starts_with="batchinfer/")}
    assert [row.split()[0] for row in rows] == [f"digit_{number:04}.png" for number in range(IMAGES)]
    right = sum(row.split()[1] == WORDS[digit] for row, digit in zip(rows, load_digits().target, strict=False))
    assert right > 0.8 * IMAGES
    assert not [name for name, content in blobs.items() if server.key.encode() in content]
    logs = "".join(airflow.rest.log(found, run, f"score.{task}", index) for task, index in (("plan", -1), ("run", 0), ("merge", -1)))
    assert server.key not in logs
    assert "Request URL" not in logs
