"""What a column holds, as JSON can say it: the words in which a schema crosses the pipe and lies in the job's folder.

    null                            nothing but nulls so far, so that anything fits
    "int64", "string", "date" ...   see `_PLAIN`; "timestamp", "timestamp UTC", "decimal(10, 2)"
    ["list", kind]
    ["struct", [[name, kind], ...]]

Only what Parquet's readers all know: no nanoseconds, no dictionaries, no durations. Nothing but Arrow's own types is looked
at here, and pyarrow is loaded only by what has it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, List, Tuple, Union

Kind = Union[None, str, List[Any]]

# As numpy calls them.
NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
MOST_DIGITS = 38
# By which function of pyarrow each is made.
_PLAIN: Dict[str, str] = {
    **{name: name for name in NUMBERS},
    "bool": "bool_",
    "string": "string",
    "bytes": "binary",
    "date": "date32",
}
# As Arrow calls what is no plain kind itself but can become one without a loss.
_BECOMES = {
    "halffloat": "float32",
    "float": "float32",
    "double": "float64",
    "large_string": "string",
    "string_view": "string",
    "binary": "bytes",
    "large_binary": "bytes",
    "binary_view": "bytes",
    "date32[day]": "date",
    "date64[ms]": "date",
    "null": None,
}


class Unwritable(Exception):
    """There is no such column in a result."""


class Differs(Exception):
    """Two kinds that no column can have both."""


def kind_of(typed: Any) -> Kind:
    """The kind that an Arrow type becomes."""
    types = import_module("pyarrow").types
    name = str(typed)
    if name in _PLAIN or name in _BECOMES:
        return _BECOMES.get(name, name)
    if types.is_dictionary(typed):
        return kind_of(typed.value_type)
    if types.is_list(typed) or types.is_large_list(typed) or types.is_fixed_size_list(typed):
        return ["list", kind_of(typed.value_type)]
    if types.is_struct(typed):
        return ["struct", [[field.name, kind_of(field.type)] for field in typed]]
    return _kind_with_arguments(typed, name)


def _kind_with_arguments(typed: Any, name: str) -> Kind:
    if name.startswith("timestamp"):
        return "timestamp UTC" if typed.tz else "timestamp"
    if name.startswith("fixed_size_binary"):
        return "bytes"
    if name.startswith("decimal"):
        if typed.precision > MOST_DIGITS:
            raise Unwritable(f"it needs decimals of {typed.precision} digits, and Parquet has {MOST_DIGITS}: round them")
        return f"decimal({typed.precision}, {typed.scale})"
    raise Unwritable(f"it holds values of type {name}; return numbers, text, dates or timestamps instead")


def arrow_type(kind: Kind, *, unknown: Kind = None, dates_as_text: bool = False) -> Any:
    """The Arrow type of a kind, `unknown` standing for what is not known; with `dates_as_text`, that of values which came as JSON."""
    arrow = import_module("pyarrow")
    if isinstance(kind, list):
        name, inner = kind
        if name == "list":
            return arrow.list_(arrow_type(inner, unknown=unknown, dates_as_text=dates_as_text))
        if not inner:
            raise Unwritable("it holds an empty dict, for which Parquet has no type; leave it out, or return None")
        fields = [(field, arrow_type(each, unknown=unknown, dates_as_text=dates_as_text)) for field, each in inner]
        return arrow.struct(fields)
    if kind is None:
        return arrow.null() if unknown is None else arrow_type(unknown)
    return _plain_type(arrow, "string" if dates_as_text and kind.startswith(("date", "timestamp")) else kind)


def _plain_type(arrow: Any, kind: str) -> Any:
    if kind.startswith("timestamp"):
        return arrow.timestamp("us", "UTC" if kind.endswith("UTC") else None)
    if kind.startswith("decimal"):
        return arrow.decimal128(*map(int, kind[len("decimal(") : -1].split(",")))
    return getattr(arrow, _PLAIN[kind])()


def joined(known: Kind, new: Kind, *, widens: bool = False) -> Kind:
    """What both are, where nothing is known yet taken from the other; `Differs` if they are not the same.

    With `widens` as one call with both would have had it: a whole number beside a float is one, a dict lacks what only others have.
    """
    if new is None or known == new:
        return known
    if known is None:
        return new
    if isinstance(known, str) and isinstance(new, str):
        return _joined_words(known, new, widens=widens)
    if isinstance(known, str) or isinstance(new, str) or known[0] != new[0]:
        raise Differs
    if known[0] == "list":
        return ["list", joined(known[1], new[1], widens=widens)]
    fields, others = dict(known[1]), dict(new[1])
    if not widens and list(fields) != list(others):
        raise Differs
    return ["struct", [[name, joined(fields.get(name), others.get(name), widens=widens)] for name in {**fields, **others}]]


def _joined_words(known: str, new: str, *, widens: bool) -> str:
    if known.startswith("decimal") and new.startswith("decimal"):
        (whole, scale), (other_whole, other_scale) = _decimal(known), _decimal(new)
        scale = max(scale, other_scale)
        digits = max(whole, other_whole) + scale
        if digits > MOST_DIGITS:
            raise Differs(f"; both in one column need {digits} digits, and Parquet has {MOST_DIGITS}: round them")
        return f"decimal({digits}, {scale})"
    if widens and {known, new} <= set(NUMBERS) - {"bool"}:
        return _wider(known, new)
    raise Differs


def _wider(one: str, other: str) -> str:
    """The number that both are beside each other; of whole numbers that no float can hold Arrow says so."""
    if "float" in one + other:
        return "float64"
    if "uint64" in (one, other):
        return "uint64" if one[0] == other[0] else "float64"
    return "int64"


def _decimal(kind: str) -> Tuple[int, int]:
    """How many digits stand before its point and behind it."""
    digits, scale = map(int, kind[len("decimal(") : -1].split(","))
    return digits - scale, scale


def told(kind: Kind) -> str:
    """A kind for people."""
    if kind is None:
        return "null"
    if isinstance(kind, str):
        return kind
    inner = told(kind[1]) if kind[0] == "list" else ", ".join(f"{name} {told(each)}" for name, each in kind[1])
    return f"{kind[0]}<{inner}>"
