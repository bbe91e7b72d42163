import errno
import gc
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.datasets import FileDataset, Item, list_items, local_walk
from airflow_batchinfer.datasets.listing import is_glob
from airflow_batchinfer.errors import ConfigError, NotFoundError, StorageError

# What a file may be called: anything but NUL and a slash; many sort around the slash, the dot and the end of a name.
names = st.binary(min_size=1, max_size=6).filter(lambda name: not {0, ord("/")} & set(name) and name not in (b".", b".."))
near_the_slash = st.sampled_from([b"a", b"a.", b"a-", b"a0", b"a\x01", b"a\xff", b"a ", b"b", b".a", b"a\n"])
paths = st.lists(near_the_slash | names, min_size=1, max_size=4).map(b"/".join)


def listed(*paths: object) -> list[str]:
    return [item.path for item in list_items(FileDataset.from_files([str(path) for path in paths]))]


def make(folder: Path, *paths: str) -> list[str]:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return sorted(str(folder / path) for path in paths)


def make_tree(folder: bytes, paths: set[bytes]) -> list[str]:
    """As many of these as can stand together; sorted as whole paths."""
    made = []
    for path in paths:
        with suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
            with open(os.path.join(folder, path), "xb"):
                made.append(os.fsdecode(os.path.join(folder, path)))
    return sorted(made)


@given(st.sets(paths, max_size=30))
def test_a_folder_is_listed_in_the_order_of_whole_paths_whatever_the_names(tree: set[bytes]):
    with TemporaryDirectory() as folder:
        expected = make_tree(os.fsencode(folder), tree)
        assert listed(folder) == expected


@given(st.sets(paths, min_size=4, max_size=30))
def test_the_order_is_the_same_when_a_folder_is_sorted_in_runs_on_disk(tree: set[bytes]):
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_walk, "RUN_ENTRIES", 2)
        patch.setattr(local_walk, "_PIECE_ENTRIES", 1)
        expected = make_tree(os.fsencode(folder), tree)
        assert listed(folder) == expected


def test_runs_on_disk_are_closed_when_the_listing_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_walk, "RUN_ENTRIES", 3)
    expected = make(tmp_path, *[f"{number:03d}" for number in range(10)])
    before = len(os.listdir("/proc/self/fd"))
    assert listed(tmp_path) == expected
    gc.collect()  # what is not closed complains here, and a complaint is an error
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_listing_that_is_given_up_closes_its_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_walk, "RUN_ENTRIES", 3)
    make(tmp_path, *[f"{number:03d}" for number in range(10)])
    found = list_items(FileDataset.from_files(str(tmp_path)))
    next(found)
    del found
    gc.collect()


def test_hidden_and_empty_files_are_files(tmp_path: Path):
    expected = make(tmp_path, ".hidden", ".folder/file", "seen")
    (tmp_path / "empty").touch()
    assert listed(tmp_path) == sorted([*expected, str(tmp_path / "empty")])


def test_an_item_has_the_size_and_time_of_what_a_link_leads_to(tmp_path: Path):
    make(tmp_path, "else/target")
    os.utime(tmp_path / "else/target", ns=(1, 2_000_000_003))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "else/target")
    assert list(list_items(FileDataset.from_files(str(tmp_path / "in")))) == [Item(str(tmp_path / "in/link"), 11, 2_000_000_003)]


def test_a_link_to_a_folder_is_followed_as_often_as_it_is_met(tmp_path: Path):
    make(tmp_path, "else/file")
    for name in ("in/1", "in/2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "else")
    assert listed(tmp_path / "in") == [str(tmp_path / "in/1/file"), str(tmp_path / "in/2/file")]


def test_a_link_that_leads_nowhere_is_listed_so_that_it_fails_as_an_item(tmp_path: Path):
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    assert listed(tmp_path) == [str(tmp_path / "broken")]


def test_a_link_that_leads_to_itself_is_listed_so_that_it_fails_as_an_item(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    assert listed(tmp_path) == [str(tmp_path / "loop")]


def test_a_link_back_to_a_folder_above_is_an_error_that_names_it(tmp_path: Path):
    make(tmp_path, "a/file")
    (tmp_path / "a/back").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match=f"the folder {tmp_path / 'a/back'} leads back to one above it by a link"):
        listed(tmp_path)


def test_what_is_neither_file_nor_folder_is_passed_over(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert listed(tmp_path) == []


def test_a_file_is_a_dataset_of_one(tmp_path: Path):
    (path,) = make(tmp_path, "file")
    assert listed(path) == [path]


def test_a_folder_may_be_named_in_many_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = make(tmp_path, "in/file")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("in", "./in", "in/", f"file://{tmp_path}/in", f"local://{tmp_path}/in", "~/in"):
        assert listed(name) == expected


def test_overlapping_paths_give_each_file_once_in_order(tmp_path: Path):
    expected = make(tmp_path, "a/1", "a/b/2", "c/3", "d/4")
    assert listed(tmp_path / "c", tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/2", tmp_path / "*/*", tmp_path) == expected


def test_one_folder_by_two_names_gives_each_file_once(tmp_path: Path):
    expected = make(tmp_path, "in/1", "in/2")
    assert listed(tmp_path / "in", f"{tmp_path}/in/../in") == expected


GLOBS = {
    "*.png": ["a.png", "[1].png"],
    "a.*": ["a.png", "a.txt"],
    "?.png": ["a.png"],
    "*/*.png": ["d/b.png"],
    "**/*.png": ["[1].png", "a.png", "d/b.png", "d/e/c.png"],
    "d/**": ["d/b.png", "d/e/c.png"],
    "[ab].png": ["a.png"],
    "[!a].png": [],
    "d*/*": ["d/b.png"],
    "*": ["[1].png", "a.png", "a.txt"],
    "*.gif": [],
}


@pytest.mark.parametrize("pattern", GLOBS)
def test_a_glob_matches_as_in_a_shell_and_to_its_own_depth(tmp_path: Path, pattern: str):
    make(tmp_path, "a.png", "a.txt", "d/b.png", "d/e/c.png", "[1].png")
    assert listed(f"{tmp_path}/{pattern}") == sorted(f"{tmp_path}/{name}" for name in GLOBS[pattern])


@pytest.mark.parametrize("pattern", GLOBS)
def test_a_glob_matches_elsewhere_as_it_does_here(pattern: str):
    root = f"{uuid4().hex}"
    for name in ("a.png", "a.txt", "d/b.png", "d/e/c.png", "[1].png"):
        fsspec.filesystem("memory").pipe_file(f"/{root}/{name}", b"x")
    assert listed(f"memory://{root}/{pattern}") == sorted(f"memory:///{root}/{name}" for name in GLOBS[pattern])


def test_a_file_that_bears_the_name_of_a_glob_is_that_file(tmp_path: Path):
    make(tmp_path, "scan[1].png", "scan1.png", "all*.png", "all1.png")
    assert listed(tmp_path / "scan[1].png", tmp_path / "all*.png") == [str(tmp_path / "all*.png"), str(tmp_path / "scan[1].png")]


def test_a_glob_does_not_look_deeper_than_it_can_match(tmp_path: Path):
    make(tmp_path, "a.png", "deep/file")
    (tmp_path / "deep/back").symlink_to(tmp_path)  # would be an error if anybody went there
    assert listed(f"{tmp_path}/*.png") == [str(tmp_path / "a.png")]


@pytest.mark.parametrize("place", ["{tmp_path}/in", "memory://{root}"])
def test_a_glob_that_cannot_be_one_is_a_config_error(tmp_path: Path, place: str):
    root = uuid4().hex
    make(tmp_path, "in/a.png")
    fsspec.filesystem("memory").pipe_file(f"/{root}/a.png", b"x")
    with pytest.raises(ConfigError, match=r"\*\*\.png"):
        listed(place.format(tmp_path=tmp_path, root=root) + "/**.png")


def test_what_does_not_exist_is_named_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match=rf"the input 'nowhere' does not exist \(looked for {tmp_path}/nowhere\)"):
        listed("nowhere")
    with pytest.raises(NotFoundError, match=r"matches nothing: there is no folder .*/nowhere"):
        listed("nowhere/*.png")
    with pytest.raises(NotFoundError, match="the input 'memory://nowhere' does not exist"):
        listed("memory://nowhere")


def test_a_glob_in_a_folder_that_is_nowhere_matches_nothing_or_says_so():
    try:
        assert listed(f"memory://{uuid4().hex}/*.png") == []
    except ConfigError as error:
        assert "memory://" in str(error)  # noqa: PT017 - either will do


def test_take_and_skip_cut_the_listing(tmp_path: Path):
    expected = make(tmp_path, *"abcdef")
    dataset = FileDataset.from_files(str(tmp_path))
    assert [item.path for item in list_items(dataset.skip(1).take(3))] == expected[1:4]


def test_remote_files_are_listed_in_order_with_what_tells_their_versions():
    fs, root = fsspec.filesystem("memory"), uuid4().hex
    for name in ["b/c", "b.txt", "a", "b/a", ".hidden", "empty"]:
        fs.pipe_file(f"/{root}/{name}", b"" if name == "empty" else b"12345")
    items = list(list_items(FileDataset.from_files(f"memory://{root}")))
    assert [item.path for item in items] == [f"memory:///{root}/{name}" for name in [".hidden", "a", "b.txt", "b/a", "b/c", "empty"]]
    assert [item.size for item in items] == [5, 5, 5, 5, 5, 0]
    assert all(item.version for item in items)


def test_a_remote_file_that_was_replaced_has_another_version():
    fs, root = fsspec.filesystem("memory"), uuid4().hex
    versions = []
    for content in (b"one", b"two"):
        fs.pipe_file(f"/{root}/file", content)
        versions += [item.version for item in list_items(FileDataset.from_files(f"memory://{root}/file"))]
    assert versions[0] != versions[1]


class Denied(MemoryFileSystem):
    """Lets everybody see that a folder is there, and nobody what is in it."""

    protocol = "denied"

    def find(self, path: str, **_: object) -> dict[str, object]:
        raise PermissionError(errno.EACCES, "Access Denied", path)


fsspec.register_implementation("denied", Denied, clobber=True)


def test_a_folder_that_may_not_be_listed_is_an_error_of_ours_that_names_it():
    root = uuid4().hex
    fsspec.filesystem("memory").pipe_file(f"/{root}/file", b"x")
    with pytest.raises((StorageError, NotFoundError), match=f"denied://{root}"):
        listed(f"denied://{root}")


def test_a_reference_is_no_path_and_a_file_that_is_called_so_can_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (path,) = make(tmp_path, "dataset:digits")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"'dataset:digits' is a registered dataset.*'\./dataset:digits'"):
        listed("dataset:digits")
    assert listed("./dataset:digits") == [path]


def if_any(*paths: object) -> list[str]:
    return [item.path for item in list_items(FileDataset.from_files([str(path) for path in paths]), may_be_missing=True)]


@pytest.mark.parametrize("place", ["{tmp_path}/nowhere", "{tmp_path}/nowhere/*.png", "memory://{root}/nowhere", "memory://{root}/*.png"])
def test_what_may_be_missing_and_is_has_no_items(tmp_path: Path, place: str):
    assert if_any(place.format(tmp_path=tmp_path, root=uuid4().hex)) == []


def test_what_may_be_missing_takes_nothing_from_what_is_there(tmp_path: Path):
    expected = make(tmp_path, "in/a", "in/b")
    assert if_any(tmp_path / "gone", tmp_path / "in", tmp_path / "gone/*.png", tmp_path / "in/*") == expected
    assert if_any(tmp_path / "in") == expected


def test_take_and_skip_cut_what_may_be_missing_as_well(tmp_path: Path):
    expected = make(tmp_path, "in/a", "in/b", "in/c")
    dataset = FileDataset.from_files([str(tmp_path / "gone"), str(tmp_path / "in")]).skip(1).take(1)
    assert [item.path for item in list_items(dataset, may_be_missing=True)] == expected[1:2]


class Closed(MemoryFileSystem):
    """Tells nobody whether anything is there."""

    protocol = "closed"

    def info(self, path: str, **_: object) -> dict[str, object]:
        raise PermissionError(errno.EACCES, "Access Denied", path)


fsspec.register_implementation("closed", Closed, clobber=True)


def test_what_may_be_missing_must_still_be_readable():
    with pytest.raises(StorageError, match=r"the input 'closed://bucket/in' cannot be listed: .*Access Denied"):
        if_any("closed://bucket/in")
    with pytest.raises(ConfigError, match="registered dataset"):
        if_any("dataset:digits")


def test_of_several_paths_one_that_is_not_there_is_an_error_unless_it_may_be(tmp_path: Path):
    make(tmp_path, "in/a")
    with pytest.raises(NotFoundError, match="gone"):
        listed(tmp_path / "in", tmp_path / "gone")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("in/*.png", True), ("in/?", True), ("in/[ab]", True), ("in", False), ("s3://b/*", True), ("s3://b/k", False), ("scan[1].png", False)],
)
def test_a_glob_is_told_by_its_characters_unless_something_bears_that_very_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, expected: bool
):
    (tmp_path / "scan[1].png").touch()
    monkeypatch.chdir(tmp_path)
    assert is_glob(path) == expected
