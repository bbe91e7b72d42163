"""What a benchmark found, kept as JSON, and the page made of it.

Each section is kept in a file of its own, with the machine and the day it was measured on, so that a run
of some benchmarks leaves the others' sections as they were.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.places import REPORT, RESULTS

_PREFACE = """\
# Benchmarks

Made by `make bench`; do not edit. The two sides of a ratio are measured in turn, A B A B, in one run on one
machine, after one uncounted run of each; a ratio is the median over the pairs, with the least and the most
in brackets. Absolute times are medians too, and belong to the machine named under each table.
"""


@dataclass(frozen=True)
class Reach:
    """A promise and what was measured of it."""

    what: str
    wanted: str
    measured: str
    reached: bool


@dataclass(frozen=True)
class Table:
    """Columns and rows as they are printed."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Finding:
    """One benchmark's section of the page."""

    title: str
    compared: str
    method: str
    table: Table
    reaches: tuple[Reach, ...]


def keep(name: str, finding: Finding) -> None:
    """Write a section's file."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    section = {"finding": asdict(finding), "machine": _machine(), "day": datetime.now(UTC).date().isoformat()}
    (RESULTS / f"{name}.json").write_text(json.dumps(section, indent=2), encoding="utf-8")


def write_page() -> None:
    """Write the page from every section that was kept."""
    sections = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    findings = [(_finding(section["finding"]), f"{section['machine']}; {section['day']}.") for section in sections]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n".join([_PREFACE, *(in_markdown(*finding) for finding in findings)]), encoding="utf-8")


def in_markdown(finding: Finding, measured_on: str = "") -> str:
    """One section, as it stands on the page and on the terminal."""
    promises = [(reach.what, reach.wanted, reach.measured, "yes" if reach.reached else "**no**") for reach in finding.reaches]
    parts = [f"## {finding.title}", finding.compared, finding.method, _in_markdown(finding.table)]
    parts += [_in_markdown(Table(("promise", "reach", "measured", "reached"), tuple(promises))), measured_on]
    return "\n\n".join(part for part in parts if part) + "\n"


def _in_markdown(table: Table) -> str:
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _finding(kept: dict) -> Finding:
    table = Table(tuple(kept["table"]["columns"]), tuple(tuple(row) for row in kept["table"]["rows"]))
    reaches = tuple(Reach(**reach) for reach in kept["reaches"])
    return Finding(kept["title"], kept["compared"], kept["method"], table, reaches)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    python, tensorflow = platform.python_version(), version("tensorflow")
    return f"Measured on {cores} cores ({_cpu()}), Python {python}, TensorFlow {tensorflow}"


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
