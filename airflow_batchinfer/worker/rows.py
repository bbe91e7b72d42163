"""What `run()` returned, as rows of text: the legacy format of append_row, to the letter.

A list item is `str(item)` and a newline; a frame is its `to_csv` without header or index, separated by spaces, which a
`parallel_run_step.settings.json` beside the script can change. pandas is never imported here: if the result is a frame,
the script has done so.
"""

from __future__ import annotations

import sys
from typing import Any, Dict, List, NamedTuple, Optional

TO_CSV = {"header": False, "index": False, "sep": " "}


class BadResult(Exception):
    """What the script returned cannot be taken as rows."""

    what = "bad result"


class Rows(NamedTuple):
    """Rows as bytes; `header_bytes` of them, at their start, are a header that the output shows only once.

    `schema`: see `kinds`; `named` says whether the script named the columns, by a frame or by dicts.
    """

    number: int
    text: bytes
    header_bytes: int = 0
    schema: Optional[List[List[Any]]] = None
    named: bool = False


def append_rows(result: Any, to_csv: Dict[str, Any]) -> Rows:
    """The rows of a result under append_row."""
    elements = iterable(result)
    if is_frame(result):
        return _frame_rows(result, to_csv)
    rows = [str(row) + "\n" for row in elements]
    return Rows(len(rows), encode("".join(rows)))


def count_rows(result: Any) -> Rows:
    """The rows of a result under summary_only: only their number matters, and None is none."""
    if result is None:
        return Rows(0, b"")
    if is_frame(result):
        return Rows(len(result), b"")
    return Rows(sum(1 for _ in iterable(result)), b"")


def iterable(result: Any) -> Any:
    """The elements of a result, or why it has none."""
    if result is None:
        raise BadResult("run() returned None; return a list, an array or a DataFrame with one row for each item that succeeded")
    kind = type(result).__name__
    if isinstance(result, (str, bytes, bytearray, dict)):
        raise BadResult(f"run() returned a {kind}; return a list with one element for each item that succeeded")
    if getattr(result, "shape", None) == ():
        raise BadResult(f"run() returned a single value of type {kind}; return a list of them")
    try:
        return iter(result)
    except TypeError:
        raise BadResult(f"run() returned a value of type {kind}, which is not a list, an array or a DataFrame") from None


def is_frame(result: Any) -> bool:
    """Whether it is a pandas DataFrame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(result, getattr(pandas, "DataFrame", ()))


def _frame_rows(frame: Any, to_csv: Dict[str, Any]) -> Rows:
    options = dict(TO_CSV, **to_csv)
    text = frame.to_csv(**options)
    header_bytes = 0
    if options["header"]:
        header_bytes = len(encode(frame.iloc[:0].to_csv(**options)))
    return Rows(len(frame), encode(text), header_bytes)


def encode(text: str, errors: str = "surrogateescape") -> bytes:
    """As UTF-8; a file name that is none comes out with the bytes it has on disk."""
    try:
        return text.encode("utf-8", errors)
    except UnicodeEncodeError as error:
        raise BadResult(f"run() returned text that is not valid Unicode: {error}") from error
