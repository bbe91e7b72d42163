import json
from collections.abc import Sequence
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import FileDataset, is_reference
from airflow_batchinfer.errors import ConfigError

paths = st.text(min_size=1).filter(lambda path: "**" not in path)
datasets = st.builds(FileDataset, st.lists(paths, min_size=1).map(tuple), st.integers(0, 99), st.none() | st.integers(0, 99))


class TaskOutput:
    """Has what Airflow's XComArg is known by, and can be iterated over as little."""

    def __iter__(self) -> NoReturn:
        raise TypeError("this is known to a run only")

    def iter_references(self):
        return ()


def test_one_path_or_several_make_a_dataset():
    assert FileDataset.from_files("a").paths == ("a",)
    assert FileDataset.from_files(["a", "b"]).paths == ("a", "b")
    assert FileDataset.from_files(path for path in ("a", "b")).paths == ("a", "b")


@pytest.mark.parametrize("path", ["", [], [""], ["a", None], [1], 1, None])
def test_what_is_no_path_is_refused(path: object):
    with pytest.raises(ConfigError, match=r"FileDataset.from_files takes a path or a list of paths"):
        FileDataset.from_files(path)  # type: ignore[arg-type]


@given(datasets)
def test_a_dataset_comes_back_from_its_stored_form(dataset: FileDataset):
    assert FileDataset.from_json(dataset.to_json()) == dataset


@given(st.lists(st.tuples(st.sampled_from(["take", "skip"]), st.integers(0, 30)), max_size=6))
def test_take_and_skip_cut_as_slices_do(cuts: list[tuple[str, int]]):
    dataset, files = FileDataset.from_files("a"), list(range(60))
    for cut, count in cuts:
        dataset = dataset.take(count) if cut == "take" else dataset.skip(count)
        files = files[:count] if cut == "take" else files[count:]
    assert list(range(60))[dataset.start : dataset.stop] == files


@pytest.mark.parametrize("count", [-1, 1.5, "3", None])
def test_a_count_that_is_none_is_refused(count: object):
    for cut in (FileDataset.take, FileDataset.skip):
        with pytest.raises(ConfigError, match="give a whole number of files, 0 or more"):
            cut(FileDataset.from_files("a"), count)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "tables"}', '{"kind": "files"}', "null", '"files"'])
def test_what_is_no_stored_dataset_is_refused(text: str):
    with pytest.raises(ConfigError, match="stored"):
        FileDataset.from_json(text)


def test_two_stars_stand_alone_between_slashes_also_when_a_run_has_made_the_path():
    assert FileDataset.from_files("a/**/*.png").paths == ("a/**/*.png",)
    with pytest.raises(ConfigError, match=r"'\*\*' must stand alone"):
        FileDataset.from_files("a/**.png")
    with pytest.raises(ConfigError, match=r"'\*\*' must stand alone"):
        FileDataset.from_plain({"kind": "files", "paths": ["a/**.png"]})


@pytest.mark.parametrize("path", ["{{ params.input }}", "{{ 2**3 }}/*.png", "{% if ds %}a{% endif %}"])
def test_a_template_is_kept_as_it_is(path: str):
    assert FileDataset.from_files(path).paths == (path,)


def test_what_only_a_run_knows_is_kept_as_it_is_alone_or_in_a_list():
    output = TaskOutput()
    assert FileDataset.from_files(output).paths == (output,)
    assert FileDataset.from_files(["a", output]).take(3).as_plain() == {"kind": "files", "paths": ["a", output], "start": 0, "stop": 3}


def test_the_plain_form_holds_only_a_dict_a_list_strings_and_whole_numbers():
    assert FileDataset.from_files("a").as_plain() == {"kind": "files", "paths": ["a"], "start": 0}
    plain = FileDataset.from_files(["a", "b"]).skip(2).take(3).as_plain()
    assert plain == {"kind": "files", "paths": ["a", "b"], "start": 2, "stop": 5}
    assert type(plain["paths"]) is list


@given(datasets)
def test_a_dataset_comes_back_from_its_plain_form(dataset: FileDataset):
    assert FileDataset.from_plain(dataset.as_plain()) == dataset
    assert json.loads(dataset.to_json()) == dataset.as_plain()


class OutputsOfMappedTasks(Sequence[str]):
    """As Airflow gives them: a slice is one request, each single one another."""

    def __getitem__(self, which) -> list[str]:
        assert isinstance(which, slice)
        return ["b", "c"][which]

    def __len__(self) -> NoReturn:
        raise AssertionError("that is a request too")


def test_a_value_that_came_to_be_several_paths_is_each_of_them():
    plain = {"kind": "files", "paths": ["a", ["b", "c"]]}
    assert FileDataset.from_plain(plain).paths == ("a", "b", "c")
    assert FileDataset.from_plain({**plain, "paths": [OutputsOfMappedTasks()]}).paths == ("b", "c")
    assert FileDataset.from_plain({**plain, "paths": "a"}).paths == ("a",)


@pytest.mark.parametrize(
    "plain", [{"paths": [None]}, {"paths": [[]]}, {"paths": []}, {"paths": [""]}, {"paths": None}, {"start": -1}, {"stop": "3"}], ids=str
)
def test_a_plain_form_that_came_to_be_something_else_is_refused(plain: dict[str, object]):
    with pytest.raises(ConfigError, match=r"takes a path or a list of paths|give a whole number of files"):
        FileDataset.from_plain({"kind": "files", "paths": ["a"], **plain})


@pytest.mark.parametrize(
    ("path", "is_one"), [("dataset:a", True), ("dataset:a:3", True), ("./dataset:a", False), ("/dataset:a", False), ("datasets", False)]
)
def test_a_reference_begins_with_dataset_and_a_file_can_still_be_called_so(path: str, is_one: bool):
    assert is_reference(path) is is_one


def test_a_dataset_can_be_told_in_a_line():
    assert str(FileDataset.from_files("a/*.png")) == "a/*.png"
    assert str(FileDataset.from_files(["a", "b", "c", "d", "e"]).skip(1000).take(2)) == "a, b, c and 2 more, skip 1,000, take 2"
    assert str(FileDataset.from_files("a").take(1).skip(3)) == "a, skip 3, take 0"
