"""`python -m benchmarks [S1 S2 ...] [--quick | --full]`: measure, and rewrite docs/benchmarks.md.

Without names, all are measured. A quick run prints what it finds and keeps nothing: its sizes are not
those of the promises.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from benchmarks import (
    airflow_overhead,
    dag_import,
    faults,
    mapped_tasks,
    million_files,
    mini_batch_cost,
    ray_data,
    remote_items,
    scale,
    scoring_service,
    steady_state,
    tables,
    whole_command,
)
from benchmarks.effort import FULL, NORMAL, QUICK, Effort
from benchmarks.report import Finding, in_markdown, keep, write_page

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS: dict[str, Callable[[Effort], Finding]] = {
    "S1": steady_state.measure,
    "S2": whole_command.measure,
    "S3": ray_data.measure,
    "S4": mapped_tasks.measure,
    "S5": airflow_overhead.measure,
    "S6": million_files.measure,
    "S7": tables.measure,
    "S8": remote_items.measure,
    "S9": scoring_service.measure,
    "P7": mini_batch_cost.measure,
    "P8": dag_import.measure,
    "scale": scale.measure,
    "faults": faults.measure,
}


def main() -> None:
    """Measure what was asked for, one after the other, since each needs the whole machine."""
    arguments = _parse()
    for name in arguments.names or BENCHMARKS:
        print(f"measuring {name}", file=sys.stderr)
        finding = BENCHMARKS[name](arguments.effort)
        print(in_markdown(finding))
        if arguments.effort is not QUICK:
            keep(name, finding)
            write_page()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="effort", action="store_const", const=QUICK, help="small and unkept: does it work at all?")
    size.add_argument("--full", dest="effort", action="store_const", const=FULL, help="more pairs, and a million mini-batches")
    parser.set_defaults(effort=NORMAL)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    main()
