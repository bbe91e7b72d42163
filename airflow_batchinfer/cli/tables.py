"""A table on stdout that a person can read and `awk` too: columns padded, nothing else."""

from collections.abc import Sequence


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], if_empty: str) -> None:
    """Print rows under their heads, or that there are none."""
    if not rows:
        print(if_empty)
        return
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    for row in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
