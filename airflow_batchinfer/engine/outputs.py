"""Rows on their way out: settled mini-batches become a segment, an immutable object of committed rows.

A segment holds the rows of its mini-batches in their order, each followed by its metrics, then the error lines. It is
written under a name of its own before the commit that names it, so a node that dies in between leaves only a file nobody reads.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.records import Piece
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import JobFolder

TOO_FEW_ROWS = "run() returned fewer rows than items"


@dataclass(frozen=True)
class Settled:
    """A mini-batch with its verdict, not committed yet."""

    mini_batch: int
    succeeded: bool
    counts: Counts
    rows: bytes = b""
    header_bytes: int = 0
    errors: bytes = b""
    metrics: bytes = b""

    @property
    def size_bytes(self) -> int:
        """What it takes to keep."""
        return len(self.rows) + len(self.errors) + len(self.metrics)


def error_line(mini_batch: int, items: Sequence[str], attempts: int, failure: Failed, failed_items: int | None = None) -> bytes:
    """A line of `_errors.jsonl`: these items failed, or (where nobody knows which) so many of them."""
    told = {
        "mini_batch": mini_batch,
        "items": list(items),
        "items_failed": len(items) if failed_items is None else failed_items,
        "attempts": attempts,
        "reason": failure.reason,
        "key": failure.key,
    }
    return (json.dumps(told | {"traceback": failure.traceback}) + "\n").encode()


def write_segment(store: Store, folder: JobFolder, node: str, settled: Sequence[Settled]) -> tuple[str | None, list[Piece]]:
    """Store the rows, error lines and metrics of some mini-batches; no segment is written where there are none."""
    in_order = sorted(settled, key=lambda each: each.mini_batch)
    errors_at = sum(len(each.rows) + len(each.metrics) for each in in_order)
    rows_at = 0
    pieces = []
    for each in in_order:
        where = (rows_at, len(each.rows), each.header_bytes, errors_at, len(each.errors), len(each.metrics))
        pieces.append(Piece(each.mini_batch, each.succeeded, each.counts, *where))
        rows_at += len(each.rows) + len(each.metrics)
        errors_at += len(each.errors)
    if not errors_at:
        return None, pieces
    name = f"{node}-{uuid4().hex[:12]}"
    with store.writer(f"{folder.segments}/{name}") as stream:
        stream.writelines(text for each in in_order for text in (each.rows, each.metrics))
        stream.writelines(each.errors for each in in_order)
    return name, pieces
