"""A job that nobody has worked on or asked for in a while, without waiting."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path


def age_heartbeats(workspace: Path, job: str, age: timedelta) -> None:
    """The job's nodes were last seen this long ago."""
    for heartbeat in (workspace / "jobs" / job).glob("nodes/*/heartbeat.json"):
        _date_back(heartbeat, "at", age)


def age_pins(workspace: Path, job: str, age: timedelta) -> None:
    """The job's runs asked for it this long ago."""
    for pin in (workspace / "pins").rglob("*.json"):
        if json.loads(pin.read_text())["job"] == job:
            _date_back(pin, "pinned_at", age)


def _date_back(file: Path, what: str, age: timedelta) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), what: (datetime.now(UTC) - age).timestamp()}))
