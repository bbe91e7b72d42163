import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.engine.tallies import MOST_NAMES, Tally, add, add_stored, as_stored, read_tallies

values = st.integers(-9, 9) | st.sampled_from(["a", "b"])
some = st.lists(values, min_size=1, max_size=4)


def tally(logged: list[int | str]) -> Tally:
    numbers = [value for value in logged if not isinstance(value, str)]
    totals = (sum(numbers), min(numbers), max(numbers)) if numbers else (None, None, None)
    return Tally(len(logged), *totals, logged[-1])


@given(some, some)
def test_two_tallies_make_the_tally_of_both(first: list[int | str], second: list[int | str]):
    assert tally(first).then(tally(second)) == tally(first + second)


@given(st.lists(st.dictionaries(st.sampled_from("xyz"), some), max_size=5))
def test_parts_stored_and_read_again_are_what_one_call_would_have_logged(parts: list[dict[str, list[int | str]]]):
    found: dict[str, Tally] = {}
    add_stored(found, as_stored({name: tally(logged) for name, logged in part.items()} for part in parts))
    names = dict.fromkeys(name for part in parts for name in part)
    assert found == {name: tally([value for part in parts for value in part.get(name, [])]) for name in names}


def test_nothing_takes_no_room():
    assert as_stored([{}, {}]) == b""
    found: dict[str, Tally] = {}
    add_stored(found, b"")
    assert found == {}


def test_the_summary_says_of_numbers_what_they_come_to_and_of_text_how_often():
    assert tally([3, 1]).told() == {"count": 2, "last": 1, "sum": 4, "min": 1, "max": 3}
    assert tally(["a"]).told() == {"count": 1, "last": "a"}


def test_a_sum_that_is_beyond_all_numbers_is_still_json():
    both = Tally(1, 1e308, 1e308, 1e308, 1e308).then(Tally(1, 1e308, 1e308, 1e308, 1e308))
    assert json.loads(json.dumps(both.told(), allow_nan=False))["sum"] == "inf"


def test_a_script_that_makes_up_names_without_end_does_not_fill_the_memory():
    found: dict[str, Tally] = {}
    for number in range(MOST_NAMES + 50):
        add(found, {str(number): tally([number])})
    add(found, {"0": tally([5])})
    assert len(found) == MOST_NAMES
    assert found["0"] == tally([0, 5])


@pytest.mark.parametrize("stored", [[1, None, 2, 3, 4], [2, 5, None, None, 3], [1, "5", 5, 5, 5], [0, 1, 1, 1, 1], [1, 1, 1, 1, None]])
def test_what_could_not_be_joined_is_no_tally(stored: list[object]):
    with pytest.raises(ValueError, match="is no tally"):
        read_tallies({"loss": stored})
