"""The plan on storage: mini-batches as lines, in segments, with an index of where each line starts.

A draft is written to local disk while the inputs are listed, since only at the end is the fingerprint known, and with it
whether a new plan is needed at all. Nobody holds more than a line.
"""

import hashlib
import json
import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import BinaryIO, Self

from airflow_batchinfer.datasets import Dataset
from airflow_batchinfer.planning.cutting import SEGMENT_MINI_BATCHES, Cut, split_by_segment
from airflow_batchinfer.planning.mini_batches import MiniBatches
from airflow_batchinfer.storage import Store

_OFFSET_BYTES = 8


class PlanDraft:
    """A plan on local disk, for as long as the `with` block lasts."""

    def __init__(self, datasets: Sequence[Dataset], cut: Cut, *, allow_empty: bool = False) -> None:
        self.items = 0
        self.mini_batches = 0
        self._digest = hashlib.sha256()
        self._folder = Path(tempfile.mkdtemp(prefix="batchinfer-plan-"))
        found = MiniBatches(datasets, cut, allow_empty=allow_empty)
        try:
            self._write(self._counted(found))
        except BaseException:
            self._remove()
            raise
        self.tables = tuple(json.dumps(table, sort_keys=True) for table in found.tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    @property
    def digest(self) -> str:
        """Of every mini-batch's items, in order."""
        return self._digest.hexdigest()

    def store_in(self, store: Store, prefix: str) -> None:
        """Copy the segments and their indexes to their place."""
        for path in sorted(self._folder.iterdir()):
            with path.open("rb") as source, store.writer(f"{prefix}-{path.name}") as target:
                shutil.copyfileobj(source, target, 1 << 20)

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _counted(self, found: MiniBatches) -> Iterator[bytes]:
        for items, line in found.lines():
            self.items += items
            yield line

    def _write(self, lines: Iterator[bytes]) -> None:
        segment = 0
        while piece := list(islice(lines, 1)):
            with (self._folder / f"{segment:05d}.jsonl").open("wb") as file:
                self._write_segment(file, piece, islice(lines, SEGMENT_MINI_BATCHES - 1))
            segment += 1

    def _write_segment(self, file: BinaryIO, first: list[bytes], others: Iterable[bytes]) -> None:
        offsets = array("Q", [0])
        end = 0
        for lines in (first, others):
            for line in lines:
                self._digest.update(line)
                file.write(line)
                end += len(line)
                offsets.append(end)
        self.mini_batches += len(offsets) - 1
        Path(file.name).with_suffix(".index").write_bytes(offsets.tobytes())


def read_lines(store: Store, prefix: str, mini_batches: range) -> list[bytes]:
    """The lines of some mini-batches: two ranges of each segment they lie in."""
    lines: list[bytes] = []
    for segment, positions in split_by_segment(mini_batches):
        path = f"{prefix}-{segment:05d}"
        index = store.read(f"{path}.index", positions.start * _OFFSET_BYTES, (positions.stop + 1) * _OFFSET_BYTES)
        offsets = array("Q", index)
        text = store.read(f"{path}.jsonl", offsets[0], offsets[-1])
        lines += [text[start - offsets[0] : stop - offsets[0]] for start, stop in pairwise(offsets)]
    return lines
