"""Which item each row of a result is of: what include_item adds, by the names that the items have in the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional

if TYPE_CHECKING:
    from .columns import Stamp


def of_files(cells: List[List[Any]], paths: List[str]) -> Stamp:
    """The files that the script gets; of one that was fetched, not where its copy lies."""
    planned = {path: rest[-1] if len(rest) > 2 else path for path, *rest in cells}  # noqa: PLR2004 - [path, size, version, planned]
    return [("item", "string", [planned[path] for path in paths])]


def of_rows(slices: List[List[Any]], rows: int, part: slice) -> Stamp:
    """The rows of a frame, by file and number in it; no numbers where nobody counted, and no files where it is not known whose a row is."""
    files: List[Optional[str]] = []
    numbers: List[Optional[int]] = []
    for path, _, _, _, _, first, planned_rows, *planned in slices:
        count = rows if len(slices) == 1 else planned_rows
        files += [planned[0] if planned else path] * count
        numbers += [None] * count if first is None else range(first, first + count)
    if len(files) != rows:
        files, numbers = [None] * rows, [None] * rows
    return [("item_file", "string", files[part]), ("item_row", "int64", numbers[part])]
