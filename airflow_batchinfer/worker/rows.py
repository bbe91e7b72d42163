"""What `run()` returned, as rows of text: the legacy format of append_row, to the letter.

A list item is `str(item)` and a newline; a frame is its `to_csv` without header or index, separated by spaces, which a
`parallel_run_step.settings.json` beside the script can change. pandas is never imported here: if the result is a frame,
the script has done so.
"""

from __future__ import annotations

import sys
from typing import Any, Dict, NamedTuple

TO_CSV = {"header": False, "index": False, "sep": " "}


class BadResult(Exception):
    """What the script returned cannot be taken as rows."""


class Rows(NamedTuple):
    """Rows as text; `header_bytes` of it, at its start, are a header that the output shows only once."""

    number: int
    text: bytes
    header_bytes: int = 0


def append_rows(result: Any, to_csv: Dict[str, Any]) -> Rows:
    """The rows of a result under append_row."""
    if result is None:
        raise BadResult("run() returned None; return a list, an array or a DataFrame with one row for each item that succeeded")
    if _is_frame(result):
        return _frame_rows(result, to_csv)
    rows = [str(row) + "\n" for row in _iterable(result)]
    return Rows(len(rows), _encode("".join(rows)))


def count_rows(result: Any) -> Rows:
    """The rows of a result under summary_only: only their number matters, and None is none."""
    if result is None:
        return Rows(0, b"")
    if _is_frame(result):
        return Rows(len(result), b"")
    return Rows(sum(1 for _ in _iterable(result)), b"")


def _iterable(result: Any) -> Any:
    kind = type(result).__name__
    if isinstance(result, (str, bytes, bytearray, dict)):
        raise BadResult(f"run() returned a {kind}; return a list with one element for each item that succeeded")
    if getattr(result, "shape", None) == ():
        raise BadResult(f"run() returned a single value of type {kind}; return a list of them")
    try:
        return iter(result)
    except TypeError:
        raise BadResult(f"run() returned a value of type {kind}, which is not a list, an array or a DataFrame") from None


def _is_frame(result: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(result, getattr(pandas, "DataFrame", ()))


def _frame_rows(frame: Any, to_csv: Dict[str, Any]) -> Rows:
    options = dict(TO_CSV, **to_csv)
    text = frame.to_csv(**options)
    header_bytes = 0
    if options["header"]:
        header_bytes = len(_encode(frame.iloc[:0].to_csv(**options)))
    return Rows(len(frame), _encode(text), header_bytes)


def _encode(text: str) -> bytes:
    """As UTF-8; a file name that is none comes out with the bytes it has on disk."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadResult(f"run() returned text that is not valid Unicode: {error}") from error
