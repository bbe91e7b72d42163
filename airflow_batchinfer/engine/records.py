"""A block's log as values: claims and commits, and what they add up to. Pure; `blocks` reads and writes them.

    <job>/blocks/0000007/00000.json  claim(node A)
                         00001.json  commit(node A, segment, pieces)
                         00002.json  claim(node B)      A was thought dead
                         00003.json  commit(node B, ...)

A log has no gaps and its records never change. Only whoever wrote the last claim may commit; what any other node still
holds in its hands is lost to it. `Succeeded` binds for ever, `Failed` only in its generation and those before it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_batchinfer.planning.thresholds import Counts


@dataclass(frozen=True)
class Piece:
    """What came of one mini-batch, and where in the commit's segment its rows, its error lines and what it logged are."""

    mini_batch: int
    succeeded: bool
    counts: Counts
    rows_at: int = 0
    rows_bytes: int = 0
    header_bytes: int = 0
    errors_at: int = 0
    errors_bytes: int = 0
    metrics_bytes: int = 0

    def to_list(self) -> list[int]:
        """As a commit stores it: short, since there is one for each mini-batch."""
        where = (self.rows_at, self.rows_bytes, self.header_bytes, self.errors_at, self.errors_bytes)
        logged = (self.metrics_bytes,) if self.metrics_bytes else ()
        return [self.mini_batch, int(self.succeeded), *where, *self.counts, *logged]

    @property
    def metrics_at(self) -> int:
        """What was logged with the rows follows them."""
        return self.rows_at + self.rows_bytes

    @classmethod
    def from_list(cls, stored: list[int]) -> "Piece":
        """From what a commit stores."""
        counted = 7 + len(Counts._fields)
        return cls(stored[0], bool(stored[1]), Counts._make(stored[7:counted]), *stored[2:7], *stored[counted:])


@dataclass(frozen=True)
class Record:
    """A claim, or (with pieces) a commit. `record_id` tells a node that a record which it finds is its own."""

    record_id: str
    node: str
    generation: int
    segment: str | None = None
    pieces: tuple[Piece, ...] | None = None

    def to_json(self) -> bytes:
        """As it is stored."""
        stored: dict[str, Any] = {
            "id": self.record_id,
            "kind": "claim" if self.pieces is None else "commit",
            "node": self.node,
            "generation": self.generation,
        }
        if self.pieces is not None:
            stored |= {"segment": self.segment, "pieces": [piece.to_list() for piece in self.pieces]}
        return json.dumps(stored, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        """From what is stored."""
        stored = json.loads(text)
        pieces = None if stored["kind"] == "claim" else tuple(Piece.from_list(piece) for piece in stored["pieces"])
        return cls(stored["id"], stored["node"], stored["generation"], stored.get("segment"), pieces)


@dataclass
class BlockState:
    """What a block's log says so far, as seen by one generation."""

    size: int
    generation: int
    length: int = 0
    owner: str | None = None
    outcomes: dict[int, Piece] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    @property
    def finished(self) -> bool:
        """Whether every mini-batch has an outcome that binds."""
        return len(self.outcomes) == self.size

    def add(self, record: Record) -> None:
        """Read the log's next record."""
        self.length += 1
        self.owner = record.node
        for piece in record.pieces or ():
            standing = self.outcomes.get(piece.mini_batch)
            if supersedes(piece, record.generation, standing, self.generation):
                self.outcomes[piece.mini_batch] = piece
                self.counts = self.counts.minus(standing.counts if standing else Counts()).plus(piece.counts)


def binds(piece: Piece, generation: int, view: int) -> bool:
    """Whether an outcome of some generation counts for the generation that looks at it."""
    return piece.succeeded or generation >= view


def supersedes(piece: Piece, generation: int, standing: Piece | None, view: int) -> bool:
    """Whether an outcome counts, given the one that counted so far: what succeeded stands, else the last that failed."""
    return binds(piece, generation, view) and not (standing and standing.succeeded)


def final_pieces(log: Iterable[Record], view: int) -> dict[int, tuple[Piece, str | None]]:
    """For each mini-batch of a block the outcome that counts, and its segment."""
    found: dict[int, tuple[Piece, str | None]] = {}
    for record in log:
        for piece in record.pieces or ():
            standing = found.get(piece.mini_batch)
            if supersedes(piece, record.generation, standing and standing[0], view):
                found[piece.mini_batch] = (piece, record.segment)
    return found
