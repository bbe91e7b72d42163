"""The cluster that all tests here share, with two GPU workers of two GPUs each, and the seed's container of digits in its storage."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import adlfs
import pytest

from airflow_batchinfer.workspace import JobFolder, pin_file
from dags.demo.rest import Answer, Rest
from tests.faults.azurite import Azurite
from tests.services.cluster.cluster import Cluster
from tests.services.cluster.settings import ENVIRONMENT, OF_A_SERVICE, REPLICAS

HERE = Path(__file__).parent
DAG = "mnist_batch_scoring"
STEP = "predict-digits-mnist"
WORKSPACE = "batchinfer/workspace"
IMAGES = 160
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SHIFT = 3
GPU_WORKERS = ("worker-gpu-1", "worker-gpu-2")
# What any undisturbed run gives.
EXPECTED = "".join(f"{number:04d}.png: {WORDS[(number % 10 + SHIFT) % 10]}\n" for number in range(IMAGES)).encode()


@dataclass(frozen=True)
class Digits:
    """The DAG in the cluster, and the storage as seen from outside."""

    cluster: Cluster
    rest: Rest
    storage: adlfs.AzureBlobFileSystem

    def start(self, **params: object) -> str:
        """A run, which is then under way."""
        return self.rest.trigger(DAG, params)

    def wait_for_the_middle(self, run: str) -> None:
        """Wait until some of a run's rows are kept; more are to come."""
        self.cluster.wait_until(lambda: self.segments(run), f"the first rows of {run} are kept", 90)
        assert self.rest.run(DAG, run)["state"] == "running"

    def segments(self, run: str) -> list[str]:
        """The objects with the rows of a run that are kept so far."""
        pin = f"{WORKSPACE}/{pin_file(DAG, run, STEP)}"
        self.storage.invalidate_cache()
        if not self.storage.exists(pin):
            return []
        job = json.loads(self.storage.cat_file(pin))["job"]
        return self.storage.find(f"{WORKSPACE}/{JobFolder(job).root}/segments")

    def wait_for_success(self, run: str, seconds: float = 180) -> None:
        try:
            self.rest.wait_for(DAG, run, seconds=seconds)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{error}\n{self.cluster.ends_of_logs()}") from None

    def result(self, run: str) -> bytes:
        """The bytes that a run published."""
        url = self.rest.xcom(DAG, run, f"{STEP}.merge")
        return self.storage.cat_file(url.replace("abfs://azurite@", ""))

    def nodes(self, run: str) -> list[Answer]:
        return [task for task in self.rest.task_instances(DAG, run) if task["task_id"] == f"{STEP}.run"]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Digits]:
    with Cluster(
        tmp_path_factory.mktemp("cluster"),
        replicas=REPLICAS,
        environment=ENVIRONMENT,
        of_a_service=OF_A_SERVICE,
        mounted={"./dags": HERE / "dags"},
    ) as cluster:
        storage = adlfs.AzureBlobFileSystem(
            connection_string=Azurite(cluster.port("azurite", 10000)).connection_string, skip_instance_cache=True
        )
        fill(storage)
        cluster.wait_until_healthy("api-server", 120)
        with Rest(f"http://127.0.0.1:{cluster.port('api-server', 8080)}", "admin", "admin") as rest:
            cluster.wait_until(lambda: DAG in [dag["dag_id"] for dag in rest.dags()], f"{DAG} is read", 120)
            rest.unpause(DAG)
            yield Digits(cluster, rest, storage)


def fill(storage: adlfs.AzureBlobFileSystem) -> None:
    storage.mkdir("digits")
    storage.pipe({f"digits/{number:04d}.png": bytes([number % 10]) * 50 for number in range(IMAGES)})
    storage.pipe_file(f"{WORKSPACE}/labels/labels.txt", "\n".join(WORDS).encode())
    storage.pipe_file(f"{WORKSPACE}/trained/mnist/shift", str(SHIFT).encode())
