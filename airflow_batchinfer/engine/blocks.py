"""The block log on storage: how nodes that know nothing of each other score every mini-batch exactly once.

A node reads a block's log and claims it by creating the next record, exclusively; it works, and commits the same way. If
the number is taken by someone else, the block is lost to it. Whether an owner is dead is only a guess, by which a
take-over is tried; a wrong guess costs time, never a row: the one that was thought dead finds its number taken.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

from airflow_batchinfer.engine.records import BlockState, Piece, Record
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import JobFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """A block that is ours until someone takes it over; `todo` are its mini-batches without an outcome."""

    block: int
    todo: tuple[int, ...]


class Blocks:
    """The logs of all blocks of a job, as far as this node has read them, in the view of one generation."""

    def __init__(self, store: Store, folder: JobFolder, blocks: Sequence[range], generation: int, node: str) -> None:
        self._store = store
        self._folder = folder
        self._blocks = blocks
        self._generation = generation
        self._node = node
        # A finished block is kept as its counts alone, so this does not grow with the mini-batches that are done.
        self._open: dict[int, BlockState] = {}
        self._finished = bytearray(len(blocks))
        self._finished_blocks = 0
        self._finished_counts = Counts()
        self._untouched = 0
        self.counts = Counts()

    @property
    def finished(self) -> bool:
        """Whether every mini-batch has an outcome, as far as we have read."""
        return self._finished_blocks == len(self._blocks)

    def refresh(self) -> None:
        """Read every record that is new."""
        for path in self._store.find(self._folder.blocks):
            block, sequence = (int(part) for part in path.removesuffix(".json").rsplit("/", 2)[-2:])
            if not self._finished[block] and sequence >= self._state(block).length:
                self._add(block, self._read(block, sequence))
        self._sum_up()

    def owners(self) -> set[str]:
        """The nodes that hold unfinished blocks, ourselves excepted."""
        return {state.owner for state in self._open.values() if state.owner and not state.finished} - {self._node}

    def candidates(self, is_dead: Callable[[str], bool]) -> Iterator[int]:
        """Blocks that may be claimed: first those nobody has touched, then those whose owner is thought dead."""
        for block in range(self._untouched, len(self._blocks)):
            if not self._finished[block] and self._state(block).owner is None:
                yield block
        for block, state in sorted(self._open.items()):
            if state.owner not in (None, self._node) and not state.finished and is_dead(str(state.owner)):
                yield block

    def claim(self, is_dead: Callable[[str], bool]) -> Claim | None:
        """Claim the first block that can be had; None if there is none now."""
        for block in self.candidates(is_dead):
            if claim := self._try_to_claim(block):
                return claim
        return None

    def commit(self, block: int, segment: str | None, pieces: Sequence[Piece]) -> bool:
        """Commit outcomes of a block that we claimed; False if it was taken from us, and then nothing is committed."""
        state = self._open.get(block)
        if state is None or state.owner != self._node:
            return False
        record = Record(uuid4().hex, self._node, self._generation, segment, tuple(pieces))
        return self._append(block, record)

    def _try_to_claim(self, block: int) -> Claim | None:
        claimed = self._append(block, Record(uuid4().hex, self._node, self._generation))
        state = self._open.get(block)
        if not claimed or state is None:
            return None
        return Claim(block, tuple(number for number in self._blocks[block] if number not in state.done))

    def _append(self, block: int, record: Record) -> bool:
        """Create the next record of a log; if others have gone on there meanwhile, read what they wrote and say no."""
        sequence = self._state(block).length
        try:
            self._store.create(self._folder.record(block, sequence), record.to_json())
        except FileExistsError:
            self._catch_up(block)
            self._sum_up()
            return False
        self._add(block, record)
        self._sum_up()
        return True

    def _catch_up(self, block: int) -> None:
        while not self._finished[block]:
            try:
                self._add(block, self._read(block, self._state(block).length))
            except FileNotFoundError:
                return

    def _read(self, block: int, sequence: int) -> Record:
        return Record.from_json(self._store.read(self._folder.record(block, sequence)))

    def _state(self, block: int) -> BlockState:
        state = self._open.get(block)
        return state or BlockState(len(self._blocks[block]), self._generation)

    def _add(self, block: int, record: Record) -> None:
        state = self._open.setdefault(block, self._state(block))
        state.add(record)
        if state.finished:
            self._finished[block] = 1
            self._finished_blocks += 1
            self._finished_counts += state.counts
            del self._open[block]

    def _sum_up(self) -> None:
        while self._untouched < len(self._blocks) and (self._finished[self._untouched] or self._untouched in self._open):
            self._untouched += 1
        self.counts = sum((state.counts for state in self._open.values()), self._finished_counts)


def read_log(store: Store, folder: JobFolder, block: int) -> list[Record]:
    """All records of one block."""
    records: list[Record] = []
    while True:
        try:
            records.append(Record.from_json(store.read(folder.record(block, len(records)))))
        except FileNotFoundError:
            return records
