"""A slice: consecutive rows of one file; and the window that skip and take leave of a table."""

from dataclasses import dataclass
from typing import NamedTuple


class Slice(NamedTuple):
    """Rows of a file, and where they are.

    `start` and `stop` are bytes of a text file, of a gzipped one those of its unpacked text; of a Parquet file they are rows.
    `first` is the number of its first row in the file, from 0, and None where nobody counted; then `rows` is an estimate.
    """

    path: str
    size: int
    version: int | str
    start: int
    stop: int
    first: int | None
    rows: int

    def told(self, start: int, stop: int) -> str:
        """What some of its rows are called, in an error."""
        place = self.path if self.first is not None else f"{self.path} bytes {self.start} to {self.stop - 1}"
        if self.first is None and (start, stop) == (0, self.rows):
            return place
        first = start if self.first is None else self.first + start
        last = first + stop - start - 1
        return f"{place} row {first}" if first == last else f"{place} rows {first} to {last}"


@dataclass
class Window:
    """What is still to be skipped and to be taken of a table; whoever cuts counts it down. None takes all."""

    skip: int
    take: int | None
