import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import FileDataset
from airflow_batchinfer.errors import ConfigError

datasets = st.builds(FileDataset, st.lists(st.text(min_size=1), min_size=1).map(tuple), st.integers(0, 99), st.none() | st.integers(0, 99))


def test_one_path_or_several_make_a_dataset():
    assert FileDataset.from_files("a").paths == ("a",)
    assert FileDataset.from_files(["a", "b"]).paths == ("a", "b")
    assert FileDataset.from_files(path for path in ("a", "b")).paths == ("a", "b")


@pytest.mark.parametrize("path", ["", [], [""], ["a", None], [1]])
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
