"""Which items of a mini-batch fail: it is halved until they are found. Pure: says what to call next and what came of it all.

No I/O, no clock, no process. One part at a time, so that what is called does not depend on which call ends first; the largest
first, so that most rows come back early. Nothing is inferred from the other half: items may fail only together.
"""

import heapq
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

Failure = TypeVar("Failure")


class Part(NamedTuple):
    """Consecutive items of a mini-batch, from `start` to before `stop`, of so many in all."""

    start: int
    stop: int
    of: int

    @property
    def items(self) -> int:
        """How many."""
        return self.stop - self.start


@dataclass(frozen=True)
class Blamed(Generic[Failure]):
    """A part with the last failure of a call that held it, and how many calls of parts did."""

    part: Part
    failure: Failure
    calls: int


def most_calls(items: int) -> int:
    """How many calls halving may cost beside the tries: floor(4 * log2(items)), without the errors of floating point."""
    return (items**4).bit_length() - 1


class Isolation(Generic[Failure]):
    """See above; `failed` are the items that failed alone, in the order in which they were found."""

    def __init__(self, items: int, failure: Failure) -> None:
        self.calls = 0
        self.failed: list[Blamed[Failure]] = []
        self._calls_left = most_calls(items)
        self._undecided: list[tuple[int, int, Blamed[Failure]]] = []
        self._halve(Blamed(Part(0, items, items), failure, 0))

    @property
    def part(self) -> Part | None:
        """What to call next; None when all is decided or the calls are used up."""
        return self._undecided[0][-1].part if self._undecided and self._calls_left else None

    @property
    def undecided(self) -> list[Blamed[Failure]]:
        """What nobody can say yet, in order; two halves of which neither was called are told as the one that they were."""
        found: list[Blamed[Failure]] = []
        for blamed in sorted((blamed for *_, blamed in self._undecided), key=lambda blamed: blamed.part):
            if found and found[-1].failure is blamed.failure and found[-1].part.stop == blamed.part.start:
                whole = found.pop()
                blamed = Blamed(Part(whole.part.start, blamed.part.stop, blamed.part.of), blamed.failure, blamed.calls)  # noqa: PLW2901
            found.append(blamed)
        return found

    @property
    def calls_of_part(self) -> int:
        """How many calls of parts hold the items of `part`, with its own."""
        return self._undecided[0][-1].calls + 1

    def refuse(self, blamed: Blamed[Failure]) -> None:
        """What had ended well has failed: an item that was alone, or what is halved like any other."""
        if blamed.part.items == 1:
            self.failed.append(blamed)
        else:
            self._halve(blamed)

    def enter(self, failure: Failure | None) -> None:
        """How the call of `part` ended: None is well."""
        *_, called = heapq.heappop(self._undecided)
        self.calls += 1
        self._calls_left -= 1
        if failure is not None:
            self.refuse(Blamed(called.part, failure, called.calls + 1))

    def _halve(self, blamed: Blamed[Failure]) -> None:
        start, stop, of = blamed.part
        middle = (start + stop + 1) // 2
        for part in (Part(start, middle, of), Part(middle, stop, of)):
            heapq.heappush(self._undecided, (-part.items, part.start, Blamed(part, blamed.failure, blamed.calls)))
