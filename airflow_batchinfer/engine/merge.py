"""Merge: read every block's log and segments in order, and publish the result, the errors, and last the summary.

Streams: it holds one block's outcomes and one mini-batch's rows, or a row group's. What it publishes appears whole and only
when the counts are within the run's thresholds; until then an earlier result in the same place stays as it is. Idempotent.
"""

import json
import time
from collections import OrderedDict
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from airflow_batchinfer.engine.blocks import read_logs
from airflow_batchinfer.engine.failures import budget_spent
from airflow_batchinfer.engine.files import publish_files
from airflow_batchinfer.engine.heartbeats import why_nodes_failed
from airflow_batchinfer.engine.progress import duration
from airflow_batchinfer.engine.records import final_pieces
from airflow_batchinfer.engine.result_file import Digesting, ResultFile, open_result
from airflow_batchinfer.engine.schema import read_columns
from airflow_batchinfer.engine.tallies import Tally, Value, add_stored
from airflow_batchinfer.errors import StorageError, UserError, WorkersUnavailable
from airflow_batchinfer.planning.choice import Ending
from airflow_batchinfer.planning.pin import Pin
from airflow_batchinfer.planning.spec import Job
from airflow_batchinfer.planning.stored import end_generation, load_job, mark_complete
from airflow_batchinfer.planning.thresholds import Counts, counted
from airflow_batchinfer.storage import Store, open_output
from airflow_batchinfer.workspace import JobFolder, Workspace

ERRORS_FILE = "_errors.jsonl"
SUMMARY_FILE = "_summary.json"
OPEN_SEGMENTS = 64
TRIES = 3


@dataclass(frozen=True)
class Summary:
    """The final counts; everywhere the same keys."""

    job: str
    output: str
    mini_batches: int
    mini_batches_failed: int
    items: int
    items_succeeded: int
    items_failed: int
    rows: int
    attempts: int
    nodes: int
    seconds: float
    items_per_second: float
    reused: bool
    resumed: int
    mini_batches_with_more_rows: int
    mini_batches_with_fewer_rows: int
    output_bytes: int
    output_sha256: str
    metrics: dict[str, dict[str, Value]]

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        failed = f", {self.items_failed:,} failed" if self.items_failed else ""
        how = "reused" if self.reused else f"in {duration(self.seconds)}, {self.items_per_second:,.0f} items/s"
        what = f"{counted(self.items, 'item')} in {counted(self.mini_batches, 'mini-batch', 'es')}"
        return f"{what}{failed}, {counted(self.rows, 'row')}, {how}\nresult: {self.output}"


def merge(workspace: Workspace, pin: Pin) -> Summary:
    """Publish the pinned job's result where the pin wants it, or raise why it failed."""
    job = load_job(workspace, pin.job)
    output = open_output(pin.output_dir)
    summary = _publish(workspace.store, job, pin, output, TRIES)
    mark_complete(workspace, pin)
    return summary


def _publish(store: Store, job: Job, pin: Pin, output: Store, tries: int) -> Summary:
    """A stream cannot be asked again in its middle when storage fails; the whole can."""
    try:
        return _Merge(store, job, pin, output).publish()
    except StorageError:
        if tries == 1 or (output.local_root and store.local_root):
            raise
    return _publish(store, job, pin, output, tries - 1)


class _Merge:
    def __init__(self, store: Store, job: Job, pin: Pin, output: Store) -> None:
        self._store = store
        self._job = job
        self._pin = pin
        self._output = output
        self._folder = JobFolder(job.name)
        self._counts = Counts()
        self._nodes: set[str] = set()
        self._metrics: dict[str, Tally] = {}

    def publish(self) -> Summary:
        rows_file = self._job.spec.append_row_file_name if self._job.spec.appends_rows else None
        with ExitStack() as stack:
            errors = stack.enter_context(self._output.writer(ERRORS_FILE))
            rows = Digesting(stack.enter_context(self._output.writer(rows_file)) if rows_file else None)
            result = stack.enter_context(closing(open_result(self._job.spec.result_format, rows, read_columns(self._store, self._folder))))
            self._stream(result, errors)
            result.finish()
            self._judge()
            publish_files(self._store, self._folder, self._output, {rows_file, ERRORS_FILE, SUMMARY_FILE} - {None})  # type: ignore[arg-type]
            # Without a summary what lies there is in the making. Leaving the block publishes the rows, then the errors.
            self._output.delete(SUMMARY_FILE)
        summary = self._summary(rows, rows_file)
        with self._output.writer(SUMMARY_FILE) as stream:
            stream.write((summary.to_json() + "\n").encode())
        end_generation(self._store, self._job.name, Ending(self._pin.generation, self._counts, published=True))
        return summary

    def _stream(self, result: ResultFile, errors: BinaryIO) -> None:
        blocks = self._job.blocks()
        for block, log in enumerate(read_logs(self._store, self._folder, len(blocks))):
            mini_batches = blocks[block]
            found = final_pieces(log, self._pin.generation)
            if missing := len(mini_batches) - len(found):
                told = f"{missing} of {len(mini_batches)} mini-batches of block {block} have no outcome"
                if why := why_nodes_failed(self._store, self._folder, self._pin):
                    raise UserError(f"{why.told}\n{told}", why.of_the_script)
                raise WorkersUnavailable(f"{told}: nodes were lost. Run it again to resume")
            self._nodes |= {record.node for record in log if record.pieces}
            with _Segments(self._store, self._folder) as segments:
                for mini_batch in mini_batches:
                    piece, segment = found[mini_batch]
                    self._counts = self._counts.plus(piece.counts)
                    if segment is not None:
                        result.add(segments.read(segment, piece.rows_at, piece.rows_bytes), piece.header_bytes)
                        add_stored(self._metrics, segments.read(segment, piece.metrics_at, piece.metrics_bytes))
                        errors.write(segments.read(segment, piece.errors_at, piece.errors_bytes))

    def _judge(self) -> None:
        if why := self._pin.rules.thresholds.exceeded_at_the_end(self._counts):
            end_generation(self._store, self._job.name, Ending(self._pin.generation, self._counts))
            raise budget_spent(self._store, self._job, self._pin.generation, why)

    def _summary(self, rows: Digesting, rows_file: str | None) -> Summary:
        counts, pin = self._counts, self._pin
        seconds = round(time.time() - pin.pinned_at, 3)
        scored = 0 if pin.reused else counts.items * (counts.mini_batches - pin.resumed) // max(1, counts.mini_batches)
        return Summary(
            job=self._job.name,
            output=f"{pin.output_dir.rstrip('/')}/{rows_file}" if rows_file else pin.output_dir,
            mini_batches=counts.mini_batches,
            mini_batches_failed=counts.mini_batches_failed,
            items=counts.items,
            items_succeeded=counts.items_succeeded,
            items_failed=counts.items_failed,
            rows=counts.rows,
            attempts=counts.attempts,
            nodes=len(self._nodes),
            seconds=seconds,
            items_per_second=round(scored / seconds, 1) if seconds > 0 else 0.0,
            reused=pin.reused,
            resumed=counts.mini_batches if pin.reused else pin.resumed,
            mini_batches_with_more_rows=counts.mini_batches_with_more_rows,
            mini_batches_with_fewer_rows=counts.mini_batches_with_fewer_rows,
            output_bytes=rows.size,
            output_sha256=rows.digest.hexdigest(),
            metrics={name: tally.told() for name, tally in self._metrics.items()},
        )


class _Segments(AbstractContextManager["_Segments"]):
    """The segments of one block, each opened once and read forwards; not too many at a time."""

    def __init__(self, store: Store, folder: JobFolder) -> None:
        self._store = store
        self._folder = folder
        self._open: OrderedDict[str, tuple[BinaryIO, AbstractContextManager[Any]]] = OrderedDict()

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._close_oldest()

    def read(self, segment: str, start: int, length: int) -> bytes:
        """A part of a segment."""
        if not length:
            return b""
        if segment not in self._open:
            if len(self._open) >= OPEN_SEGMENTS:
                self._close_oldest()
            opened = self._store.open(f"{self._folder.segments}/{segment}")
            self._open[segment] = (opened.__enter__(), opened)
        self._open.move_to_end(segment)
        stream = self._open[segment][0]
        stream.seek(start)
        return stream.read(length)

    def _close_oldest(self) -> None:
        _, (_, opened) = self._open.popitem(last=False)
        opened.__exit__(None, None, None)
