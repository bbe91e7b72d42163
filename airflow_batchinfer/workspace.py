"""Which folder holds what, on any storage. Nothing here reads or decides; it only names places.

models/<name>/<version>/   services/<name>/   jobs/<fingerprint>-<n>/   pins/<dag_id>/<run_id>/<step>.json   outputs/...
"""

import os
from typing import Any
from urllib.parse import quote

from airflow_batchinfer.storage import Store, open_store, probe

ENVIRONMENT_VARIABLE = "BATCHINFER_WORKSPACE"
DEFAULT_FOLDER = ".batchinfer"


class Workspace:
    """The root that holds models, datasets, jobs and services."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def at(cls, url: str | None = None, *, to_read: bool = False, **options: Any) -> "Workspace":  # noqa: ANN401 - fsspec's own
        """Open the workspace at a URL, or at $BATCHINFER_WORKSPACE, or in the current folder.

        It must pass the probe, unless it is only to be read: then it need not even exist.
        """
        store = open_store(url or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_FOLDER, **options)
        if not to_read:
            probe(store)
        return cls(store)

    @property
    def url(self) -> str:
        """Where it is."""
        return self.store.url


class JobFolder:
    """The places inside one job's folder."""

    def __init__(self, job: str) -> None:
        self.job = job
        self.root = f"jobs/{job}"
        self.job_file = f"{self.root}/job.json"
        self.plan = f"{self.root}/plan"
        self.source = f"{self.root}/source"
        self.blocks = f"{self.root}/blocks"
        self.segments = f"{self.root}/segments"
        self.schema = f"{self.root}/schema"
        self.environment_lock = f"{self.root}/environment.json"
        self.nodes = f"{self.root}/nodes"
        self.files = f"{self.root}/files"
        self.asked = f"{self.root}/asked"
        self.generations = f"{self.root}/generations"

    def record(self, block: int, sequence: int) -> str:
        """One record of a block's log; zero-padded, so that a listing is in order."""
        return f"{self.blocks}/{block:07d}/{sequence:05d}.json"

    def heartbeat(self, node: str) -> str:
        """Where a node says that it lives."""
        return f"{self.nodes}/{node}/heartbeat.json"

    def uncommitted(self, node: str, generation: int) -> str:
        """What a node found failed in the midst of a mini-batch, when it ended the generation."""
        return f"{self.nodes}/{node}/uncommitted-{generation:05d}.jsonl"

    def logs(self, node: str) -> str:
        """What a node's workers printed."""
        return f"{self.nodes}/{node}/logs"

    def generation(self, number: int) -> str:
        """How a generation ended."""
        return f"{self.generations}/{number:05d}.json"


def pin_file(dag_id: str, run_id: str, step: str) -> str:
    """The pin of one run; run ids hold characters that not every storage takes in a name."""
    return f"pins/{_as_name(dag_id)}/{_as_name(run_id)}/{_as_name(step)}.json"


def output_folder(dag_id: str, run_id: str, step: str) -> str:
    """Where a run's result goes unless it says otherwise; people type these, so a date stays as it is."""
    return f"outputs/{_as_name(dag_id)}/{_as_name(run_id, ':+')}/{_as_name(step)}"


def service_file(name: str) -> str:
    """The record of a service."""
    return f"services/{name}/service.json"


def _as_name(text: str, safe: str = "") -> str:
    """As a name that leads nowhere else; `quote` leaves dots as they are."""
    return quote(text, safe=safe) if text.strip(".") else text.replace(".", "%2E")
