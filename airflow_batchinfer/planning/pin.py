"""A pin: what one run asked of a job. Its retries find the same job by it, and merge marks it complete."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from airflow_batchinfer.planning.config import Rules
from airflow_batchinfer.planning.thresholds import Thresholds


@dataclass(frozen=True)
class Pin:
    """Which job and generation, under which rules, and where the result goes."""

    path: str
    job: str
    generation: int
    output_dir: str
    rules: Rules
    reused: bool
    resumed: int
    pinned_at: float
    complete: bool = False

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Pin":
        """From what was stored."""
        stored: dict[str, Any] = json.loads(text)
        rules = stored.pop("rules")
        return cls(rules=Rules(thresholds=Thresholds(**rules.pop("thresholds")), **rules), **stored)
