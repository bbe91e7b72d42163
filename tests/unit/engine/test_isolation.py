from collections.abc import Callable
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.engine.isolation import Isolation, Part, most_calls

Fails = Callable[[range], bool]


class Found:
    """What isolating items found when these fail; a failure's text is a number of its own."""

    def __init__(self, items: int, fails: Fails) -> None:
        isolation = Isolation[str](items, "0")
        self.calls: list[Part] = []
        self.succeeded: list[int] = []
        while part := isolation.part:
            self.calls.append(part)
            of_part = range(part.start, part.stop)
            if fails(of_part):
                isolation.enter(str(len(self.calls)))
            else:
                self.succeeded += of_part
                isolation.enter(None)
        assert isolation.calls == len(self.calls)
        self.failed = {blamed.part.start: blamed for blamed in isolation.failed}
        self.undecided = isolation.undecided
        self.in_undecided = [item for blamed in self.undecided for item in range(blamed.part.start, blamed.part.stop)]


def any_of(bad: set[int]) -> Fails:
    return lambda part: any(item in part for item in bad)


@st.composite
def items_and_failures(draw: st.DrawFn) -> tuple[int, Fails]:
    """Some items, and any rule of which parts fail: single items, items that fail only together, parts by a whim."""
    items = draw(st.integers(2, 300))
    alone = draw(st.sets(st.integers(0, items - 1), max_size=12))
    together = draw(st.sets(st.integers(0, items - 1), min_size=2, max_size=3))
    whim = draw(st.integers(0, 1000))

    def fails(part: range) -> bool:
        return any_of(alone)(part) or all(item in part for item in together) or hash((whim, part)) % 1000 < whim

    return items, fails


@given(items_and_failures())
def test_whatever_fails_the_calls_are_at_most_four_times_log2_of_the_items(case: tuple[int, Fails]):
    items, fails = case
    assert len(Found(items, fails).calls) <= 4 * log2(items)


@given(items_and_failures())
def test_every_item_ends_once_as_succeeded_failed_or_undecided(case: tuple[int, Fails]):
    items, fails = case
    found = Found(items, fails)
    assert sorted([*found.succeeded, *found.failed, *found.in_undecided]) == list(range(items))


@given(items_and_failures())
def test_no_part_is_called_twice_and_items_are_undecided_only_when_the_calls_are_used_up(case: tuple[int, Fails]):
    items, fails = case
    found = Found(items, fails)
    assert len(set(found.calls)) == len(found.calls)
    assert not found.undecided or len(found.calls) == most_calls(items)


@given(items_and_failures())
def test_the_largest_part_comes_first_and_of_equal_ones_the_first(case: tuple[int, Fails]):
    items, fails = case
    waiting = halves(Part(0, items, items))
    for part in Found(items, fails).calls:
        waiting.sort(key=lambda each: (-each.items, each.start))
        assert part == waiting.pop(0)
        if fails(range(part.start, part.stop)):
            waiting += halves(part)


def halves(part: Part) -> list[Part]:
    middle = (part.start + part.stop + 1) // 2
    return [Part(part.start, middle, part.of), Part(middle, part.stop, part.of)] if part.items > 1 else []


@given(st.integers(2, 5000).flatmap(lambda items: st.tuples(st.just(items), st.integers(0, items - 1))))
def test_of_one_bad_item_exactly_that_one_is_named(case: tuple[int, int]):
    items, bad = case
    found = Found(items, any_of({bad}))
    assert (list(found.failed), found.undecided) == ([bad], [])
    assert len(found.calls) <= 2 * log2(items) + 2


@given(st.integers(2, 2000).flatmap(lambda items: st.tuples(st.just(items), st.sets(st.integers(0, items - 1), min_size=2, max_size=2))))
def test_of_two_bad_items_both_are_named_as_far_as_the_calls_reach(case: tuple[int, set[int]]):
    items, bad = case
    found = Found(items, any_of(bad))
    assert set(found.failed) | set(found.in_undecided) & bad == bad
    assert set(found.failed) == bad or len(found.calls) == most_calls(items)
    assert len(found.in_undecided) <= 4  # the calls end among the last parts, which are small


@pytest.mark.parametrize("power", range(1, 11))
def test_of_a_power_of_two_both_bad_items_are_always_named(power: int):
    items = 2**power
    for bad in ({0, 1}, {0, items - 1}, {items // 2 - 1, items // 2}, {items // 4, 3 * items // 4}):
        found = Found(items, any_of(bad))
        assert (set(found.failed), found.undecided) == (bad, [])


def test_items_that_fail_only_together_all_succeed():
    found = Found(16, lambda part: 3 in part and 12 in part)
    assert (len(found.succeeded), found.failed, len(found.calls)) == (16, {}, 2)


def test_if_every_call_fails_some_are_named_and_the_others_stay_undecided():
    found = Found(8, lambda _: True)
    assert [(part.start, part.stop) for part in found.calls] == [
        *((0, 4), (4, 8)),
        *((0, 2), (2, 4), (4, 6), (6, 8)),
        *((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)),
    ]
    assert sorted(found.failed) == [0, 1, 2, 3, 4, 5]
    assert [(blamed.part[:2], blamed.failure, blamed.calls) for blamed in found.undecided] == [((6, 8), "6", 2)]


def test_an_item_is_blamed_with_the_failure_of_its_own_call_and_the_calls_that_held_it():
    blamed = Found(8, any_of({5})).failed[5]
    assert (blamed.part, blamed.failure, blamed.calls) == (Part(5, 6, 8), "6", 3)


def test_one_item_costs_no_call():
    isolation = Isolation(1, "it")
    assert (most_calls(1), isolation.part) == (0, None)


@pytest.mark.parametrize(("items", "calls"), [(1, 0), (2, 4), (3, 6), (8, 12), (9, 12), (10, 13), (1000, 39), (2**40, 160)])
def test_the_calls_are_four_times_log2_rounded_down(items: int, calls: int):
    assert most_calls(items) == calls
