"""The block log on storage: how nodes that know nothing of each other score every mini-batch exactly once.

A node reads a block's log and claims it by creating the next record, exclusively; it works, and commits the same way. If
the number is taken by someone else, the block is lost to it. Whether an owner is dead is only a guess, by which a
take-over is tried; a wrong guess costs time, never a row: the one that was thought dead finds its number taken.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar
from uuid import uuid4

from airflow_batchinfer.engine.records import BlockState, Piece, Record
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.storage import Store
from airflow_batchinfer.workspace import JobFolder

READERS = 16
Place = TypeVar("Place")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Claim:
    """A block that is ours until someone takes it over; `todo` are its mini-batches without an outcome."""

    block: int
    claim_id: str
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
        # The claims that whoever works here believes to hold; a lost one stays until a commit has told them.
        self._ours: dict[int, str] = {}
        self.counts = Counts()

    @property
    def finished(self) -> bool:
        """Whether every mini-batch has an outcome, as far as we have read."""
        return self._finished_blocks == len(self._blocks)

    def refresh(self, most: int | None = None) -> None:
        """Read the records that are new, or that many of them."""
        new = (found for found in self._listed() if not self._finished[found[0]] and found[1] >= self._state(found[0]).length)
        for block, sequence, record in self._read_all(islice(new, most)):
            # A listing made while others write may miss a record that it should show before this one.
            while not self._finished[block] and self._state(block).length < sequence:
                self._add(block, self._read(block, self._state(block).length))
            if not self._finished[block] and self._state(block).length == sequence:
                self._add(block, record)
        self._sum_up()

    def owners(self) -> set[str]:
        """The nodes that hold unfinished blocks, ourselves excepted."""
        return {state.owner for state in self._open.values() if state.owner} - {self._node}

    def candidates(self, is_dead: Callable[[str], bool]) -> Iterator[int]:
        """Blocks that may be claimed: first those nobody has touched, then those whose owner is thought dead."""
        for block in range(self._untouched, len(self._blocks)):
            if not self._finished[block] and block not in self._open:
                yield block
        for block, state in sorted(self._open.items()):
            if block not in self._ours and (state.owner == self._node or is_dead(str(state.owner))):
                yield block

    def claim(self, is_dead: Callable[[str], bool]) -> Claim | None:
        """Claim the first block that can be had; None if there is none now."""
        for block in self.candidates(is_dead):
            record = Record(uuid4().hex, self._node, self._generation)
            if self._append(block, record) and block in self._open:
                self._ours[block] = record.record_id
                done = self._open[block].outcomes
                return Claim(block, record.record_id, tuple(number for number in self._blocks[block] if number not in done))
        return None

    def commit(self, block: int, claim_id: str, segment: str | None, pieces: Sequence[Piece]) -> bool:
        """Commit what was done under a claim; False if the block was taken from us since, and then nothing is committed."""
        if self._ours.get(block) != claim_id:
            return False
        state = self._open.get(block)
        record = Record(uuid4().hex, self._node, self._generation, segment, tuple(pieces))
        if state is None or state.owner != self._node or not self._append(block, record):
            del self._ours[block]
            return False
        if self._finished[block]:
            del self._ours[block]
        return True

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

    def _listed(self) -> Iterator[tuple[int, int]]:
        for path in self._store.find(self._folder.blocks):
            block, sequence = path.removesuffix(".json").rsplit("/", 2)[-2:]
            yield int(block), int(sequence)

    def _read_all(self, new: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int, Record]]:
        for (block, sequence), record in each_read(self._store, new, lambda place: self._read(*place)):
            yield block, sequence, record

    def _read(self, block: int, sequence: int) -> Record:
        return Record.from_json(self._store.read(self._folder.record(block, sequence)))

    def _state(self, block: int) -> BlockState:
        return self._open.get(block) or BlockState(len(self._blocks[block]), self._generation)

    def _add(self, block: int, record: Record) -> None:
        state = self._open.setdefault(block, self._state(block))
        state.add(record)
        if state.finished:
            self._finished[block] = 1
            self._finished_blocks += 1
            self._finished_counts = self._finished_counts.plus(state.counts)
            del self._open[block]

    def _sum_up(self) -> None:
        while self._untouched < len(self._blocks) and (self._finished[self._untouched] or self._untouched in self._open):
            self._untouched += 1
        self.counts = self._finished_counts
        for state in self._open.values():
            self.counts = self.counts.plus(state.counts)


def read_log(store: Store, folder: JobFolder, block: int) -> list[Record]:
    """All records of one block."""
    records: list[Record] = []
    while True:
        try:
            records.append(Record.from_json(store.read(folder.record(block, len(records)))))
        except FileNotFoundError:
            return records


def read_logs(store: Store, folder: JobFolder, blocks: int) -> Iterator[list[Record]]:
    """The logs of all blocks in order; on remote storage the next ones are read while one is looked at."""
    for _, log in each_read(store, iter(range(blocks)), lambda block: read_log(store, folder, block)):
        yield log


def each_read(store: Store, places: Iterator[Place], read: Callable[[Place], Found]) -> Iterator[tuple[Place, Found]]:
    """Read at each place, in order: one after the other on local disk, some at a time where every request has its way to go."""
    if store.local_root is not None:
        yield from ((place, read(place)) for place in places)
        return
    with ThreadPoolExecutor(READERS) as pool:
        coming: deque[tuple[Place, Future[Found]]] = deque()
        for place in places:
            coming.append((place, pool.submit(read, place)))
            if len(coming) >= READERS:
                first, future = coming.popleft()
                yield first, future.result()
        for place, future in coming:
            yield place, future.result()
