"""Where a file is cut: by size, or where the values of its key columns change. Pure: chunks go in, pieces come out.

A piece that is not finished when a chunk ends goes on in the next, so where the chunks end changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.tables.chunks import Chunk

Values = tuple[str, ...]
NO_END = 1 << 62


class Piece(NamedTuple):
    """Consecutive rows: which bytes they are, the number of the first, how many, and the values of their key columns."""

    start: int
    stop: int
    first: int
    rows: int
    values: Values = ()


class BySize:
    """Pieces of at most so many bytes, or of one record that is larger; without a size, one."""

    def __init__(self, most_bytes: int | None) -> None:
        self._most_bytes = NO_END if most_bytes is None else most_bytes
        self._open: Piece | None = None

    def cut(self, chunk: Chunk) -> Iterator[Piece]:
        """The pieces that end in this chunk."""
        import numpy as np

        stops = chunk.ends + chunk.offset
        firsts = chunk.first + np.concatenate(([0], np.cumsum(chunk.filled)))
        start, first = (self._open.start, self._open.first) if self._open else (chunk.offset, chunk.first)
        done = 0
        while done < len(stops):
            fitting = int(np.searchsorted(stops, start + self._most_bytes, "right"))
            if fitting == len(stops):
                break
            if fitting == done and start == chunk.offset + chunk.start_of(done):
                fitting += 1
            done = fitting
            stop, behind = chunk.offset + chunk.start_of(done), int(firsts[done])
            if behind > first:
                yield Piece(start, stop, first, behind - first)
            start, first = stop, behind
        self._open = Piece(start, int(stops[-1]), first, int(firsts[-1]) - first)

    def rest(self) -> Iterator[Piece]:
        """The last piece."""
        if self._open and self._open.rows:
            yield self._open


class ByKey:
    """A piece for each run of rows with the same values in the key columns. A value that comes back is an error."""

    def __init__(self, path: str, names: Sequence[str]) -> None:
        self._path = path
        self._names = names
        self._seen: set[Values] = set()
        self._open: Piece | None = None

    def cut(self, chunk: Chunk, columns: Sequence[Sequence[str]]) -> Iterator[Piece]:
        """The pieces that end in this chunk, where the key columns hold these values."""
        import numpy as np

        if not chunk.rows:
            return
        changes = [np.flatnonzero(np.asarray(column[1:], object) != np.asarray(column[:-1], object)) + 1 for column in columns]
        firsts = [0, *np.unique(np.concatenate(changes)).tolist(), chunk.rows]
        records = np.append(np.flatnonzero(chunk.filled), len(chunk.ends))
        bounds = [chunk.offset, *(chunk.offset + chunk.start_of(int(records[first])) for first in firsts[1:])]
        for start, stop, first, behind in zip(bounds, bounds[1:], firsts, firsts[1:], strict=False):
            piece = Piece(start, stop, chunk.first + first, behind - first, tuple(column[first] for column in columns))
            if self._open and self._open.values == piece.values:
                self._open = self._open._replace(stop=stop, rows=self._open.rows + piece.rows)
                continue
            yield from self.rest()
            self._check_new(piece)
            self._open = piece

    def rest(self) -> Iterator[Piece]:
        """The last piece."""
        if self._open:
            yield self._open

    def _check_new(self, piece: Piece) -> None:
        if piece.values in self._seen:
            raise came_back(self._path, piece.first, self._names, piece.values)
        self._seen.add(piece.values)


def came_back(path: str, row: int, names: Sequence[str], values: Values) -> ConfigError:
    """What is told of a partition that does not stand together in a file."""
    told = ", ".join(f"{name}={value!r}" for name, value in zip(names, values, strict=True))
    remedy = f"sort the file by {', '.join(names)}, so that rows of one partition stand together"
    return ConfigError(f"{path}: row {row:,} has {told} again, after rows with other values; {remedy}")
