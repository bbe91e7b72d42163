"""How a plan is cut: mini-batches into blocks, and blocks back into the plan's segments. Pure arithmetic."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SEGMENT_MINI_BATCHES = 10_000
BLOCK_MINI_BATCHES = 1_000


@dataclass(frozen=True)
class Cut:
    """How large a mini-batch is: so many files, about so many bytes of a table, or all that share the values of keys."""

    size: int
    keys: tuple[str, ...] = ()


def cut_blocks(mini_batches: int, nodes: int, processes: int) -> list[range]:
    """Blocks that shrink towards the end, so that the nodes finish together: big ones first, at least one per process last."""
    starts, done = [0], 0
    while done < mini_batches:
        share = (mini_batches - done) // (2 * nodes * processes)
        done = min(mini_batches, done + max(processes, min(share, BLOCK_MINI_BATCHES)))
        starts.append(done)
    return [range(start, stop) for start, stop in pairwise(starts)]


def block_of(blocks: Sequence[range], mini_batch: int) -> int:
    """Which block holds a mini-batch."""
    return bisect_right(blocks, mini_batch, key=lambda block: block.start) - 1


def split_by_segment(mini_batches: range) -> list[tuple[int, range]]:
    """Which parts of which plan segments hold these mini-batches; positions count from the segment's start."""
    parts = []
    first = mini_batches.start
    while first < mini_batches.stop:
        segment = first // SEGMENT_MINI_BATCHES
        base = segment * SEGMENT_MINI_BATCHES
        last = min(mini_batches.stop, base + SEGMENT_MINI_BATCHES)
        parts.append((segment, range(first - base, last - base)))
        first = last
    return parts
