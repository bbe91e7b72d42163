"""Why a job failed, told so that the last lines a person sees are what they need: the commonest failure's own traceback,
how many items it cost, and what to do next.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airflow_batchinfer.engine.blocks import read_logs
from airflow_batchinfer.engine.records import final_pieces
from airflow_batchinfer.errors import ErrorBudgetSpent
from airflow_batchinfer.planning.spec import Job
from airflow_batchinfer.planning.thresholds import counted
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import JobFolder

MOST_LINES = 2_000


@dataclass
class Cause:
    """Failures that have one cause."""

    key: str
    example: dict[str, Any]
    items: int = 0
    mini_batches: int = 0

    @property
    def cost(self) -> str:
        """What it took, for people."""
        return f"{counted(self.items, 'item')} in {counted(self.mini_batches, 'mini-batch', 'es')}"


def causes(store: Store, job: Job, view: int) -> list[Cause]:
    """The causes of the failures so far, the commonest first; of very many failures only the first are looked at."""
    found: dict[str, Cause] = {}
    last: dict[str, int] = {}
    for line in islice(failure_lines(store, job, view), MOST_LINES):
        cause = found.setdefault(line["key"], Cause(line["key"], line))
        cause.items += line["items_failed"]
        cause.mini_batches += last.get(line["key"]) != line["mini_batch"]  # the lines of one stand together
        last[line["key"]] = line["mini_batch"]
    return sorted(found.values(), key=lambda cause: cause.items, reverse=True)


def budget_spent(store: Store, job: Job, view: int, why: str) -> ErrorBudgetSpent:
    """That the job failed and why, with its commonest failure and the remedy."""
    found = causes(store, job, view)
    lines = [f"the job {job.name} failed: {why}"]
    of_the_script = ""
    if found:
        commonest = found[0]
        of_the_script = str(commonest.example["traceback"] or commonest.example["reason"])
        first = commonest.example["items"][0] if commonest.example["items"] else "?"
        cost = f"{commonest.key}: this cost {commonest.cost}, first {first}"
        others = f"; {counted(len(found) - 1, 'other cause')}" if len(found) > 1 else ""
        lines.append(cost + others)
    lines.append(
        "What to do: mend the script or the items, or allow more failures with error_threshold; then run it again. "
        "What succeeded is kept as long as the script and the inputs stay as they are. Items that failed in a mini-batch which gave some "
        "rows are tried again only by a new job: --no-reuse, or allow_reuse=False. "
        f"Every failure: batchinfer jobs failures {job.name} --workspace {store.url}"
    )
    return ErrorBudgetSpent("\n".join(lines), of_the_script)


def keep_uncommitted(store: Store, job: Job, node: str, view: int, lines: bytes) -> None:
    """Keep the failures of a mini-batch that a node was isolating when too much had failed: nobody commits it."""
    with store.writer(JobFolder(job.name).uncommitted(node, view)) as stream:
        stream.write(lines)


def failure_lines(store: Store, job: Job, view: int) -> Iterator[dict[str, Any]]:
    """Every failure, as `_errors.jsonl` would tell it; first those that are not committed."""
    folder = JobFolder(job.name)
    for node in store.children(folder.nodes):
        with suppress(FileNotFoundError):
            yield from map(json.loads, store.read(folder.uncommitted(node, view)).splitlines())
    for log in read_logs(store, folder, len(job.blocks())):
        for _, (piece, segment) in sorted(final_pieces(log, view).items()):
            if piece.errors_bytes:
                text = store.read(f"{folder.segments}/{segment}", piece.errors_at, piece.errors_at + piece.errors_bytes)
                yield from map(json.loads, text.splitlines())
