"""What pandas makes of a column as a whole, told from what it makes of parts of it, one below the other.

pandas tries int64, uint64, float64, bool and text, each on all values, and gives up an attempt at the first that does not
fit. So a part leaves marks: which kinds of values are in it. The marks of all parts settle the type. It is one that a user
may declare (int64, float64, bool, str, datetime), or uint64, or one of these, which only whole columns show:

    int64_with_gaps     float64, of whole numbers: they are read as such and then made floats
    bool_with_gaps      object, of True, False and NaN
    big_int             object, of Python's own integers and NaN, since some need more than 64 bits
    verbatim            text in which nothing is missing: of a column of integers that pandas gives up, gaps come out as they stand there

In one thing this differs: beside integers beyond int64, pandas takes all that begins with a minus for an integer, be it -0.1.
"""

import re
from collections.abc import Callable
from enum import Flag, auto
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    Column = pd.Series[Any]

_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)
# As many digits as Python makes an integer of; pandas goes by the same limit.
_INTEGER = re.compile(r"[ \t]*[+-]?[0-9]{1,4300}[ \t]*")
FEW_BYTES = "S20"  # as which pandas reads a column in no time: what is longer is cut off, and behind what is shorter stand NULs
_TEN, _SURE_DIGITS = 10, 18


class Marks(Flag):
    """Which kinds of values a column holds. LONG is beyond uint64, LOW below int64; TEXT is whatever is no number or bool.

    In the marks of one part, LONG and FLOAT or TEXT mean in this order. VERBATIM: so it is in the whole.
    """

    NONE = 0
    NULL = auto()
    INT = auto()
    NEGATIVE = auto()
    UINT = auto()
    LONG = auto()
    LOW = auto()
    FLOAT = auto()
    BOOL = auto()
    TEXT = auto()
    VERBATIM = auto()


_NUMBER = Marks.INT | Marks.UINT | Marks.LONG | Marks.LOW | Marks.FLOAT
_NO_INT = Marks.FLOAT | Marks.BOOL | Marks.TEXT


def joined(above: Marks, below: Marks) -> Marks:
    """The marks of two parts. Where a value beyond uint64 comes before any that is no integer, pandas gives up numbers for good."""
    marks = above | below
    return marks | Marks.VERBATIM if Marks.LONG in marks and not above & _NO_INT and below & _NO_INT else marks


def settled(marks: Marks) -> str:
    """The type of a column with these marks."""
    has_numbers, has_gaps = bool(marks & _NUMBER), Marks.NULL in marks
    does_not_go_together = marks & (Marks.NULL | Marks.NEGATIVE | Marks.LOW)
    rules = (
        (Marks.VERBATIM in marks, "verbatim"),
        (Marks.TEXT in marks or (Marks.BOOL in marks and has_numbers), "str"),
        (Marks.BOOL in marks, "bool_with_gaps" if has_gaps else "bool"),
        (Marks.FLOAT in marks or not has_numbers, "float64"),
        (Marks.LONG in marks or (Marks.LOW in marks and Marks.UINT not in marks), "big_int"),
        (Marks.UINT in marks, "verbatim" if does_not_go_together else "uint64"),
        (True, "int64_with_gaps" if has_gaps else "int64"),
    )
    return next(kind for applies, kind in rules if applies)


def is_final(marks: Marks) -> bool:
    """Whether it is text already, whatever else the column holds."""
    return Marks.VERBATIM in marks or settled(marks) == "str"


def are_plain_integers(column: "Column") -> bool:
    """Whether values, read as FEW_BYTES, are integers or nothing at all. What else pandas takes for one of them, this does not know."""
    cells = column.to_numpy().view("uint8").reshape(len(column), -1)
    plain = (cells - ord("0") < _TEN) | (cells == 0)
    plain[:, 0] |= (cells[:, 0] == ord("-")) & (cells[:, 1] != 0)
    return bool(plain.all()) and not cells[:, _SURE_DIGITS:].any()


def may_be_integers(column: "Column", known: Marks) -> bool:
    """Whether floats may be integers beside gaps, as far as their values show: they may have been written as 1.0."""
    if column.dtype.kind != "f" or Marks.FLOAT in known:
        return False
    present = column.dropna()
    return 0 < len(present) < len(column) and bool((present % 1 == 0).all())


def marks_of(column: "Column", read_as: "Callable[[str], Column]") -> Marks:
    """The marks of a part, from what pandas made of it; `read_as` reads it once more."""
    missing = column.isna()
    null = Marks.NULL if missing.any() else Marks.NONE
    if missing.all():
        return null
    kind = column.dtype.kind
    if kind in "iubf":
        plain = {"i": Marks.INT, "u": Marks.UINT, "b": Marks.BOOL, "f": Marks.FLOAT}
        return null | plain[kind] | (Marks.NEGATIVE if kind == "i" and column.min() < 0 else Marks.NONE)
    if column.dtype != object:
        return _marks_of_text(read_as)
    present = list(column.dropna())
    return null | (Marks.BOOL if isinstance(present[0], bool) else _marks_of_integers(present))


def _marks_of_text(read_as: "Callable[[str], Column]") -> Marks:
    """Text is text, but where integers come first, which do not go together or not with what follows them."""
    texts = read_as("str")
    present = texts.dropna()
    integers = [int(text) for text in takewhile(_INTEGER.fullmatch, present)]
    marks = _marks_of_integers(integers)
    if len(integers) == len(present):
        return marks | Marks.NEGATIVE  # or it would be no text; pandas counts -0 among the negatives
    if Marks.LONG not in marks:
        return Marks.TEXT
    try:
        read_as("float64")
    except ValueError:
        return Marks.LONG | Marks.TEXT
    return Marks.LONG | Marks.FLOAT


def _marks_of_integers(values: list[int]) -> Marks:
    low, high = min(values, default=0), max(values, default=0)
    marks = Marks.INT | (Marks.NEGATIVE if low < 0 else Marks.NONE) | (Marks.LOW if low < _INT64.start else Marks.NONE)
    beyond = (value for value in values if value >= _INT64.stop)
    return (
        marks
        | (Marks.LONG if high >= _UINT64.stop else Marks.NONE)
        | (Marks.UINT if any(value in _UINT64 for value in beyond) else Marks.NONE)
    )
