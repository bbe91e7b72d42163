"""The block log against a model: nodes that are interleaved at every storage operation, die, sleep, and misjudge each other.

The nodes run the real `Blocks`, each in a thread of its own, but only one at a time: whenever a node touches storage it hands
the turn back, and a schedule says who goes next and what becomes of the operation. So one seed is one interleaving, every time.
What must hold is checked when a record lands, by the model alone, and once more at the end by reading the logs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from io import BytesIO
from pathlib import Path
from random import Random
from typing import BinaryIO

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from airflow_batchinfer.engine.blocks import Blocks, read_log
from airflow_batchinfer.engine.ledger import Failed
from airflow_batchinfer.engine.outputs import Settled, error_line, write_segment
from airflow_batchinfer.engine.records import Record, final_pieces
from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.planning.thresholds import Counts
from airflow_batchinfer.workspace import JobFolder

FOLDER = JobFolder("job-1")
SEEDS = 1_000
PAGE_ENTRIES = 3
MOST_STEPS = 5_000


class Fate(Enum):
    """What becomes of the operation that a node is about to do."""

    DONE = "done"
    DIES_BEFORE = "the node dies before it"
    DIES_AFTER = "it is done, and the node dies before it hears"
    ANSWER_LOST = "it is done, and storage says that it failed"
    FAILS = "storage fails, nothing is done"


class Killed(BaseException):
    """kill -9: no handler of ours may run."""


@dataclass
class Node:
    """A virtual node: a thread that runs only when it has the turn."""

    name: str
    generation: int
    main: Callable[[Node], None]
    fate: Fate = Fate.DONE
    ended: bool = False
    bug: BaseException | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)
    back: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.turn.acquire()
        self.back.acquire()
        threading.Thread(target=self._run, daemon=True).start()

    def step(self, fate: Fate = Fate.DONE) -> None:
        """Let it go on to its next storage operation; `fate` is that of the one before which it stands."""
        self.fate = fate
        self.turn.release()
        self.back.acquire()
        if self.bug:
            raise self.bug

    def end(self) -> None:
        """Whatever came of it: its thread ends."""
        while not self.ended:
            self.fate = Fate.DIES_BEFORE
            self.turn.release()
            self.back.acquire()

    def pause(self) -> Fate:
        """Hand the turn back; the fate of what comes next."""
        self.back.release()
        self.turn.acquire()
        return self.fate

    def _run(self) -> None:
        self.turn.acquire()
        try:
            self.main(self)
        except (Killed, StorageError):
            pass
        except BaseException as bug:  # noqa: BLE001 - raised again in the test's own thread
            self.bug = bug
        self.ended = True
        self.back.release()


class Shelf:
    """What storage holds, and the model: what may land in a log, and what each mini-batch's outcome is for ever."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.succeeded: dict[int, str | None] = {}

    def land(self, path: str, content: bytes) -> None:
        if path in self.files:
            raise FileExistsError(path)
        if path.startswith(f"{FOLDER.blocks}/"):
            self._check(path, Record.from_json(content))
        self.files[path] = content

    def _check(self, path: str, record: Record) -> None:
        *_, block, name = path.split("/")
        log = self._log(block)
        assert name == f"{len(log):05d}.json", f"{path}: a gap before it"
        if record.pieces is None:
            return
        claims = [each for each in log if each.pieces is None]
        assert claims, f"{path}: a commit without a claim"
        assert claims[-1].node == record.node, f"{path}: {record.node} commits in the block of {claims[-1].node}"
        decided = final_pieces(log, record.generation)
        assert record.segment is None or f"{FOLDER.segments}/{record.segment}" in self.files, f"{path}: before its segment"
        for piece in record.pieces:
            assert piece.mini_batch not in decided, f"{path}: mini-batch {piece.mini_batch} had its outcome already"
            if piece.succeeded:
                assert piece.mini_batch not in self.succeeded, f"{path}: mini-batch {piece.mini_batch} succeeds twice"
                self.succeeded[piece.mini_batch] = record.segment

    def _log(self, block: str) -> list[Record]:
        paths = sorted(path for path in self.files if path.startswith(f"{FOLDER.blocks}/{block}/"))
        return [Record.from_json(self.files[path]) for path in paths]


class Window:
    """A store as one node sees it: every operation is a point at which others may go on, or at which the node may die."""

    url = "memory://shelf"
    local_root: Path | None = Path("/")  # so that a node reads in its own thread, which is the one that has the turn

    def __init__(self, shelf: Shelf, node: Node | None) -> None:
        self._shelf = shelf
        self._node = node

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        self._point(lambda: None)
        if path not in self._shelf.files:
            raise FileNotFoundError(path)
        return self._shelf.files[path][start:stop]

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        yield BytesIO(self.read(path))

    def create(self, path: str, content: bytes) -> None:
        self._point(lambda: self._shelf.land(path, content))

    @contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        stream = BytesIO()
        yield stream
        self._point(lambda: self._shelf.land(path, stream.getvalue()))

    def find(self, folder: str) -> Iterator[str]:
        """Page by page, as remote storage lists: what is added meanwhile may be seen or not."""
        last = ""
        while True:
            self._point(lambda: None)
            page = sorted(path for path in self._shelf.files if path.startswith(f"{folder}/") and path > last)[:PAGE_ENTRIES]
            yield from page
            if not page:
                return
            last = page[-1]

    def children(self, folder: str) -> list[str]:
        raise NotImplementedError(folder)

    def delete(self, path: str) -> None:
        raise NotImplementedError(path)

    def _point(self, do: Callable[[], None]) -> None:
        fate = self._node.pause() if self._node else Fate.DONE
        if fate is Fate.DIES_BEFORE:
            raise Killed
        if fate is Fate.FAILS:
            raise StorageError("out of order")
        do()
        if fate is Fate.DIES_AFTER:
            raise Killed
        if fate is Fate.ANSWER_LOST:
            raise StorageError("no answer")


@dataclass(frozen=True)
class Habits:
    """What a node does between its storage operations, drawn from a seed of its own."""

    blocks: list[range]
    shelf: Shelf
    seed: int
    honest: bool = False

    def live(self, node: Node) -> None:
        """Work until everything has an outcome, as far as this node can see, or it has looked in vain too often."""
        random = Random(self.seed)
        window = Window(self.shelf, node)
        blocks = Blocks(window, FOLDER, self.blocks, node.generation, node.name)
        blocks.refresh()
        patience = 200 if self.honest else 4
        while not blocks.finished and patience:
            claim = blocks.claim(lambda _: self.honest or random.random() < 0.5)
            if claim is None:
                patience -= 1
                blocks.refresh()
                continue
            todo = list(claim.todo)
            while todo:
                number = random.randint(1, len(todo))
                settled, todo = [_settled(each, node.name, random) for each in todo[:number]], todo[number:]
                if random.random() < 0.3:
                    blocks.refresh()
                segment, pieces = write_segment(window, FOLDER, node.name, settled)
                if not blocks.commit(claim.block, claim.claim_id, segment, pieces):
                    break


def _settled(mini_batch: int, node: str, random: Random) -> Settled:
    if random.random() < 0.7:
        return Settled(mini_batch, succeeded=True, counts=Counts(1, 0, 1, 0, 1, 1), rows=f"{mini_batch} by {node}\n".encode())
    errors = error_line(mini_batch, ["item"], 1, Failed("it broke", "it"))
    return Settled(mini_batch, succeeded=False, counts=Counts(1, 1, 1, 1, 0, 1), errors=errors)


@dataclass
class Play:
    """One interleaving, from `choose(n)`: a number below n."""

    choose: Callable[[int], int]

    def run(self) -> None:
        blocks = [range(3), range(3, 5), range(5, 6)][: 1 + self.choose(3)]
        shelf = Shelf()
        everyone = [self._node(f"node-{number}", blocks, shelf, self.choose(2)) for number in range(2 + self.choose(3))]
        awake, asleep = list(everyone), list[Node]()
        try:
            for _ in range(20 + self.choose(120)):
                if awake:
                    self._step(awake, asleep)
            self._finish(blocks, shelf, [node for node in everyone if not node.ended])
        finally:
            for node in everyone:
                node.end()

    def _node(self, name: str, blocks: list[range], shelf: Shelf, generation: int) -> Node:
        return Node(name, generation, Habits(blocks, shelf, self.choose(1_000_000)).live)

    def _step(self, nodes: list[Node], asleep: list[Node]) -> None:
        node = nodes[self.choose(len(nodes))]
        dice = self.choose(60)
        if dice == 0:
            nodes.remove(node)
            asleep.append(node)
            return
        if dice == 1 and asleep:
            nodes.append(asleep.pop(0))
        node.step({2: Fate.DIES_BEFORE, 3: Fate.DIES_AFTER, 4: Fate.ANSWER_LOST, 5: Fate.FAILS}.get(dice, Fate.DONE))
        if node.ended:
            nodes.remove(node)

    @staticmethod
    def _finish(blocks: list[range], shelf: Shelf, zombies: list[Node]) -> None:
        """An honest node, alone, brings it to its end; then whoever slept goes on, and must not change a thing."""
        _run_to_the_end(Node("honest", 1, Habits(blocks, shelf, 7, honest=True).live))
        before = _outcomes(blocks, shelf)
        for zombie in zombies:
            _run_to_the_end(zombie)
        assert _outcomes(blocks, shelf) == before


def _run_to_the_end(node: Node) -> None:
    for _ in range(MOST_STEPS):
        if node.ended:
            return
        node.step()
    raise AssertionError(f"{node.name} never comes to its end")


def _outcomes(blocks: list[range], shelf: Shelf) -> dict[int, tuple[bool, str | None]]:
    """What merge would find for generation 1: an outcome for each mini-batch, those that succeeded as they first did."""
    found: dict[int, tuple[bool, str | None]] = {}
    for block, mini_batches in enumerate(blocks):
        final = final_pieces(read_log(Window(shelf, None), FOLDER, block), 1)
        assert sorted(final) == list(mini_batches)
        found |= {number: (piece.succeeded, segment) for number, (piece, segment) in final.items()}
    assert {number: segment for number, (succeeded, segment) in found.items() if succeeded} == shelf.succeeded
    for number, (succeeded, segment) in found.items():
        piece = final_pieces(read_log(Window(shelf, None), FOLDER, _block_of(blocks, number)), 1)[number][0]
        rows = shelf.files[f"{FOLDER.segments}/{segment}"][piece.rows_at :][: piece.rows_bytes]
        assert rows.startswith(f"{number} by ".encode()) if succeeded else not rows
    return found


def _block_of(blocks: list[range], number: int) -> int:
    return next(block for block, mini_batches in enumerate(blocks) if number in mini_batches)


def test_each_mini_batch_is_scored_exactly_once_in_a_thousand_interleavings():
    for seed in range(SEEDS):
        try:
            Play(Random(seed).randrange).run()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken


@settings(max_examples=150, phases=[Phase.generate])  # a schedule is as hard to read when it is short
@given(st.lists(st.integers(0, 59), min_size=100, max_size=300))
def test_each_mini_batch_is_scored_exactly_once_whatever_the_schedule(drawn: list[int]):
    choices = iter(drawn)
    Play(lambda n: next(choices, 17) % n).run()
