import json
import os
from array import array
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import FileDataset
from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.planning import cutting, plan
from airflow_batchinfer.planning.cutting import Cut
from airflow_batchinfer.planning.lines import read_line
from airflow_batchinfer.planning.plan import PlanDraft, read_lines
from airflow_batchinfer.storage import RemoteStore

AWKWARD = ["a\nb", 'quote"d', "com,ma", "bräck]et[", "tab\t", "back\\slash", "日本", os.fsdecode(b"caf\xe9"), " ", "a\r", "\x7f", "null"]


def memory() -> RemoteStore:
    return RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")


def make(folder: Path, names: list[str]) -> FileDataset:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name.encode("utf-8", "surrogateescape").hex())
    return FileDataset.from_files(str(folder))


def planned(datasets: list[FileDataset], mini_batch_items: int) -> tuple[list[list[str]], str]:
    """The paths of each mini-batch, as a node reads them, and the digest."""
    store = memory()
    with PlanDraft(datasets, Cut(mini_batch_items)) as draft:
        draft.store_in(store, "plan/x")
        lines = read_lines(store, "plan/x", range(draft.mini_batches))
        assert draft.items == sum(read_line(line).count for line in lines)
        return [[item.path for item in read_line(line).items] for line in lines], draft.digest


def test_items_are_cut_into_mini_batches_in_the_order_of_their_paths(tmp_path: Path):
    mini_batches, _ = planned([make(tmp_path / "in", ["e", "b", "a", "d", "c"])], 2)
    assert mini_batches == [[str(tmp_path / "in" / name) for name in names] for names in ("ab", "cd", "e")]


def test_no_mini_batch_holds_items_of_two_inputs(tmp_path: Path):
    first, second = make(tmp_path / "1", ["a", "b", "c"]), make(tmp_path / "2", ["d", "e", "f"])
    mini_batches, _ = planned([first, second], 2)
    assert [[Path(path).name for path in paths] for paths in mini_batches] == [["a", "b"], ["c"], ["d", "e"], ["f"]]


def test_an_item_is_its_path_its_size_and_its_time(tmp_path: Path):
    dataset = make(tmp_path / "in", ["abc"])
    os.utime(tmp_path / "in" / "abc", ns=(5, 123_456_789))
    store = memory()
    with PlanDraft([dataset], Cut(10)) as draft:
        draft.store_in(store, "plan/x")
    (line,) = read_lines(store, "plan/x", range(1))
    assert read_line(line).items == ((str(tmp_path / "in" / "abc"), 6, 123_456_789),)


def test_awkward_names_come_back_as_they_are(tmp_path: Path):
    mini_batches, _ = planned([make(tmp_path / "in", AWKWARD)], 5)
    assert [path for paths in mini_batches for path in paths] == sorted(str(tmp_path / "in" / name) for name in AWKWARD)


def test_a_line_is_one_line_of_json_whatever_the_names(tmp_path: Path):
    store = memory()
    with PlanDraft([make(tmp_path / "in", AWKWARD)], Cut(4)) as draft:
        draft.store_in(store, "plan/x")
    text = store.read("plan/x-00000.jsonl")
    assert text.isascii()
    assert [len(json.loads(line)) for line in text.splitlines()] == [4, 4, 4]


def test_the_index_says_where_each_line_starts_and_where_the_last_one_ends(tmp_path: Path):
    store = memory()
    with PlanDraft([make(tmp_path / "in", ["a", "bb", "ccc"])], Cut(1)) as draft:
        draft.store_in(store, "plan/x")
    lines = store.read("plan/x-00000.jsonl").splitlines(keepends=True)
    assert list(array("Q", store.read("plan/x-00000.index"))) == [0, len(lines[0]), len(lines[0] + lines[1]), len(b"".join(lines))]


@pytest.mark.parametrize("stretch", [range(7), range(2, 4), range(3), range(3, 6), range(6, 7), range(2, 7), range(5, 5)])
def test_a_stretch_is_read_across_the_borders_of_segments(tmp_path: Path, stretch: range, monkeypatch: pytest.MonkeyPatch):
    for module in (cutting, plan):
        monkeypatch.setattr(module, "SEGMENT_MINI_BATCHES", 3)
    store = memory()
    names = [f"file {number}" for number in range(7)]
    with PlanDraft([make(tmp_path / "in", names)], Cut(1)) as draft:
        draft.store_in(store, "plan/x")
    assert [path.rpartition(".")[0] for path in store.find("plan") if path.endswith(".jsonl")] == [f"plan/x-{n:05d}" for n in range(3)]
    read = [Path(read_line(line).items[0].path).name for line in read_lines(store, "plan/x", stretch)]
    assert read == names[stretch.start : stretch.stop]


def test_the_last_segment_may_be_full_to_the_brim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for module in (cutting, plan):
        monkeypatch.setattr(module, "SEGMENT_MINI_BATCHES", 3)
    mini_batches, _ = planned([make(tmp_path / "in", [str(number) for number in range(6)])], 1)
    assert len(mini_batches) == 6


def test_the_digest_is_of_paths_sizes_and_times(tmp_path: Path):
    dataset = make(tmp_path / "in", ["a", "b"])
    before = planned([dataset], 1)[1]
    assert planned([dataset], 1)[1] == before
    stat = (tmp_path / "in" / "a").stat()
    os.utime(tmp_path / "in" / "a", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    touched = planned([dataset], 1)[1]
    assert touched != before
    (tmp_path / "in" / "a").rename(tmp_path / "in" / "c")
    assert planned([dataset], 1)[1] not in (before, touched)


def test_an_input_that_matches_nothing_is_named_with_all_others_of_its_kind(tmp_path: Path):
    there = make(tmp_path / "in", ["a"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as raised:
        PlanDraft(
            [FileDataset.from_files(str(tmp_path / "empty")), there, there.take(0), FileDataset.from_files(str(tmp_path / "gone"))], Cut(1)
        )
    assert len(raised.value.faults) == 3
    assert all(str(tmp_path) in fault for fault in raised.value.faults)


def test_a_draft_leaves_nothing_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with PlanDraft([make(tmp_path / "in", ["a"])], Cut(1)):
        assert len(list((tmp_path / "tmp").iterdir())) == 1
    with pytest.raises(ConfigError):
        PlanDraft([FileDataset.from_files(str(tmp_path / "nowhere"))], Cut(1))
    assert list((tmp_path / "tmp").iterdir()) == []


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(1, 7))
def test_every_item_is_in_one_mini_batch_whatever_the_sizes(sizes: list[int], mini_batch_items: int):
    fs, root = fsspec.filesystem("memory"), uuid4().hex
    datasets = []
    for number, size in enumerate(sizes):
        for name in range(size + 1):
            fs.pipe_file(f"/{root}/{number}/{name}", b"x")
        datasets.append(FileDataset.from_files(f"memory://{root}/{number}"))
    mini_batches, _ = planned(datasets, mini_batch_items)
    whole = [f"memory:///{root}/{number}/{name}" for number, size in enumerate(sizes) for name in sorted(map(str, range(size + 1)))]
    assert [path for paths in mini_batches for path in paths] == whole
    assert all(1 <= len(paths) <= mini_batch_items for paths in mini_batches)
    assert len(mini_batches) == sum(-(-(size + 1) // mini_batch_items) for size in sizes)
    fs.rm(f"/{root}", recursive=True)


def test_where_nothing_is_allowed_an_empty_plan_has_no_mini_batches_and_no_segments(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    store = memory()
    datasets = [FileDataset.from_files(str(tmp_path / name)) for name in ("empty", "gone", "gone/*.png", "empty/*.png")]
    with PlanDraft(datasets, Cut(1), allow_empty=True) as draft:
        draft.store_in(store, "plan/x")
        assert (draft.items, draft.mini_batches, list(store.find(""))) == (0, 0, [])
        assert read_lines(store, "plan/x", range(0)) == []


def test_where_nothing_is_allowed_what_is_there_is_planned_all_the_same(tmp_path: Path):
    there = make(tmp_path / "in", ["a", "b"])
    with PlanDraft([FileDataset.from_files(str(tmp_path / "gone")), there], Cut(1), allow_empty=True) as draft:
        assert (draft.items, draft.mini_batches) == (2, 2)
        digest = draft.digest
    assert planned([there], 1)[1] == digest


def test_allowing_nothing_does_not_change_the_plan_of_something(tmp_path: Path):
    there = make(tmp_path / "in", ["a", "b", "c"])
    with PlanDraft([there], Cut(2), allow_empty=True) as draft:
        assert draft.digest == planned([there], 2)[1]
