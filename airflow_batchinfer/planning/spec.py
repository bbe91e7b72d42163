"""What can change a job's results, its fingerprint, and the job itself as job.json holds it. Values only."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from airflow_batchinfer.planning.cutting import cut_blocks

# Raised whenever the meaning of anything stored in a job folder changes: old jobs are then neither reused nor resumed.
FORMAT = 4
TEXT = "txt"
AUTO = "auto"
_SWITCHES = ("azureml_compat", "tensorflow_v1")
_NAMED_FORMATS = ("csv", "jsonl", "parquet")


def format_of(file_name: str) -> str:
    """The format that a file's name asks for: one of the named ones, else text."""
    _, dot, ending = file_name.lower().rpartition(".")
    return ending if dot and ending in _NAMED_FORMATS else TEXT


@dataclass(frozen=True)
class JobSpec:
    """Everything that the fingerprint covers. How fast and how strict a run is lies in its pin instead."""

    inputs: str
    tables: tuple[str, ...]
    mini_batch_size: int
    partition_keys: tuple[str, ...]
    entry_script: str
    source: str
    arguments: tuple[str, ...]
    models: tuple[tuple[str, str], ...]
    side_inputs: tuple[tuple[str, str, str], ...]
    environment: str
    environment_variables: tuple[tuple[str, str], ...]
    appends_rows: bool
    append_row_file_name: str
    to_csv: str
    include_item: bool
    isolate_failures: bool
    azureml_compat: str = AUTO
    tensorflow_v1: str = AUTO

    @property
    def result_format(self) -> str:
        """How rows are written: as the file's name ends."""
        return format_of(self.append_row_file_name) if self.appends_rows else TEXT

    def stored(self) -> dict[str, Any]:
        """As job.json and the fingerprint have it; what decides for itself is not named there, so that older jobs stay as they are."""
        return {name: value for name, value in asdict(self).items() if not (name in _SWITCHES and value == AUTO)}

    @property
    def fingerprint(self) -> str:
        """Short enough for a folder's name, long enough never to meet another."""
        described = json.dumps({"format": FORMAT, **self.stored()}, sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Job:
    """One scoring of one plan."""

    name: str
    spec: JobSpec
    items: int
    mini_batches: int
    plan: str
    nodes: int
    processes: int
    created_at: float

    def blocks(self) -> list[range]:
        """The blocks, as they were cut once for all."""
        return cut_blocks(self.mini_batches, self.nodes, self.processes)

    @property
    def table_kinds(self) -> tuple[str, ...]:
        """Of which kind each table is."""
        return tuple(json.loads(table)["kind"] for table in self.spec.tables)

    def to_json(self) -> bytes:
        """As job.json holds it."""
        return json.dumps({"format": FORMAT, **asdict(self), "spec": self.spec.stored()}, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Job":
        """From job.json, of this format."""
        stored = json.loads(text)
        del stored["format"]
        spec = {name: _as_tuples(value) for name, value in stored.pop("spec").items()}
        return cls(spec=JobSpec(**spec), **stored)


def _as_tuples(value: Any) -> Any:  # noqa: ANN401 - JSON
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list) else value
