"""Parts of a mini-batch become one again: which columns they have together, and which parts cannot stand beside the others.

Pure: no I/O, no rows. The columns are judged one by one, and of a column it is settled first what it holds: what earlier
mini-batches have fixed of it, else what most items have. What does not fit that is refused.
So it depends on nothing but the parts and, at most, on what earlier mini-batches fixed; see docs/decisions/0004-tables.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from airflow_batchinfer.engine.protocol import Done
from airflow_batchinfer.worker.kinds import NUMBERS, Differs, Kind, joined, told

Named = Sequence[tuple[str, Kind]]
Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Basis:
    """What the parts are judged by: the columns, or that they have none; `fixed` is what earlier mini-batches had fixed by then."""

    columns: dict[str, Kind] = field(default_factory=dict)
    fixed: Mapping[str, Kind] | None = None
    is_free: bool = False

    @property
    def named(self) -> list[tuple[str, Kind]]:
        """As pairs."""
        return list(self.columns.items())


def basis_of(parts: Sequence[Done], fixed: Mapping[str, Kind] | None) -> Basis:
    """What all the parts of a mini-batch are judged by, found when each of its items was called; `fixed` is by earlier ones."""
    if _most((part.schema is None, part.items) for part in parts if part.rows or part.schema is not None):
        return Basis(fixed=fixed, is_free=True)
    those = [part for part in parts if part.schema is not None]
    if fixed is None:
        named = _most((part.named, part.items) for part in those)
        names = list(dict.fromkeys(name for part in those if part.named == named for name, _ in part.schema or ()))
    else:
        names = list(fixed)
    those = [part for part in those if not _misnamed(part, names)]
    present = dict.fromkeys(name for part in those for name, _ in part.schema or ())
    return Basis({name: (fixed or {}).get(name) or _voted(name, those) for name in present}, fixed)


def judged(parts: Sequence[Done], basis: Basis) -> tuple[Basis, dict[int, str]]:
    """The basis with what the parts add to it, and by its number why a part is refused."""
    columns, refused = dict(basis.columns), {}
    for number, part in enumerate(parts):
        if part.rows and (part.schema is None) != basis.is_free:
            refused[number] = "rows that are dicts stand beside others; return a dict for every row, or for none"
        elif basis.is_free:
            continue
        elif why := part.schema and _misnamed(part, list(columns)):
            refused[number] = why
        else:
            for name, kind in part.schema or ():
                try:
                    columns[name] = _fitted(columns[name], kind, is_fixed=(basis.fixed or {}).get(name) is not None)
                except Differs as error:
                    refused.setdefault(number, f"the column {name!r} is {told(kind)}, not {told(columns[name])}{error}")
    return Basis(columns, basis.fixed, basis.is_free), refused


def _fitted(known: Kind, kind: Kind, *, is_fixed: bool) -> Kind:
    wider = joined(known, kind, widens=True)
    return joined(known, wider) if is_fixed else wider


def _misnamed(part: Done, names: Sequence[str]) -> str:
    """Why the part's names do not fit; rows that have no names of their own are no dicts that lack some."""
    own = [name for name, _ in part.schema or ()]
    if added := [name for name in own if name not in names]:
        return f"there is a column {added[0]!r}, beside {', '.join(names)}"
    missing = [] if part.named else [name for name in names if name not in own]
    return f"there is no column {missing[0]!r}, beside {', '.join(own)}" if missing else ""


def _voted(name: str, parts: Sequence[Done]) -> Kind:
    """What the first has of those that have the same sort of thing in a column as most items have."""
    kinds = [(kind, part.items) for part in parts if (kind := dict(part.schema or ()).get(name)) is not None]
    sort = _most((_sort(kind), items) for kind, items in kinds)
    return next((kind for kind, _ in kinds if _sort(kind) == sort), None)


def _sort(kind: Kind) -> str:
    """Numbers are all of one sort, which can be joined, and so are decimals; of lists and dicts only that they are such."""
    if isinstance(kind, list):
        return str(kind[0])
    return "number" if kind in NUMBERS and kind != "bool" else str(kind).partition("(")[0]


def _most(votes: Iterable[tuple[Choice, int]]) -> Choice | None:
    """What most items are; of as many the earlier ones."""
    found: dict[Choice, int] = {}
    for choice, items in votes:
        found[choice] = found.get(choice, 0) + items
    return max(found, key=lambda choice: found[choice], default=None)
