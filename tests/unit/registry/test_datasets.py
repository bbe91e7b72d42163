import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import fsspec
import pytest

from airflow_batchinfer.datasets import FileDataset, list_items
from airflow_batchinfer.errors import ConfigError, ConflictError, NotFoundError
from airflow_batchinfer.registry import DatasetRegistry, RegisteredDataset, resolve_inputs, resolve_side_inputs
from airflow_batchinfer.storage import LocalStore, RemoteStore
from airflow_batchinfer.workspace import Workspace


@pytest.fixture(params=["local", "memory"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    if request.param == "local":
        return Workspace(LocalStore(tmp_path / "workspace"))
    return Workspace(RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}"))


@pytest.fixture
def registry(workspace: Workspace) -> DatasetRegistry:
    return DatasetRegistry(workspace)


def folder_of(top: Path, name: str, count: int = 1) -> str:
    for number in range(count):
        path = top / name / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return str(top / name)


def files(*paths: str) -> FileDataset:
    return FileDataset.from_files(paths)


def unchecked(registry: DatasetRegistry, name: str, dataset: FileDataset) -> RegisteredDataset:
    """The next version, of files that need not exist."""
    return registry.register(name, dataset, create_new_version=True, validate=False)


# Versions.


def test_a_dataset_says_what_it_is(registry: DatasetRegistry, tmp_path: Path):
    dataset = files(folder_of(tmp_path, "digits", 9)).skip(2).take(3)
    registered = registry.register("digits", dataset, description="of tonight", tags={"by": "me"})
    assert registry.resolve("digits") == registered
    assert (registered.reference, registered.dataset) == ("dataset:digits:1", dataset)
    assert (registered.description, registered.tags, registered.deleted) == ("of tonight", {"by": "me"}, False)
    assert registered.registered_at > 0


def test_the_same_definition_again_is_the_same_version(registry: DatasetRegistry, workspace: Workspace, tmp_path: Path):
    dataset = files(folder_of(tmp_path, "digits"))
    first = registry.register("digits", dataset)
    assert registry.register("digits", dataset, description="again") == first
    assert registry.register("digits", dataset, create_new_version=True) == first
    assert list(workspace.store.find("datasets")) == ["datasets/digits/1.json"]


def test_another_definition_is_refused_and_the_error_says_what_is_there_and_what_to_do(registry: DatasetRegistry, tmp_path: Path):
    here, there = folder_of(tmp_path, "here"), folder_of(tmp_path, "there")
    registry.register("digits", files(here))
    for other in (files(there), files(here, there), files(here).take(1)):
        with pytest.raises(ConflictError) as raised:
            registry.register("digits", other)
        assert f"dataset:digits:1 is {here}." in str(raised.value)
        assert "create_new_version=True (--create-new-version)" in str(raised.value)
    assert len(registry.versions("digits")) == 1


def test_another_definition_becomes_the_next_version_on_demand(registry: DatasetRegistry, tmp_path: Path):
    here, there = files(folder_of(tmp_path, "here")), files(folder_of(tmp_path, "there"))
    versions = [registry.register("digits", dataset, create_new_version=True).version for dataset in (here, there, there, here)]
    assert versions == [1, 2, 2, 3]
    assert [registered.dataset for registered in registry.versions("digits")] == [here, there, here]


def test_each_dataset_counts_on_its_own(registry: DatasetRegistry, tmp_path: Path):
    dataset = files(folder_of(tmp_path, "digits"))
    assert [registry.register(name, dataset).version for name in ("b", "a")] == [1, 1]
    assert registry.names() == ["a", "b"]


def test_a_reference_is_a_name_a_version_or_the_latest(registry: DatasetRegistry):
    for number in range(2):
        unchecked(registry, "digits", files(f"/{number}"))
    for prefix in ("", "dataset:"):
        references = [f"{prefix}{reference}" for reference in ("digits", "digits:latest", "digits:1", "digits:2")]
        assert [registry.resolve(reference).version for reference in references] == [2, 2, 1, 2]


@pytest.mark.parametrize("reference", ["digits:3", "digits:0", "digits:01", "digits:x", "other", "other:1", "", ":1", "../x", "digits:1:2"])
def test_what_is_not_registered_is_named_with_what_is(registry: DatasetRegistry, workspace: Workspace, reference: str):
    unchecked(registry, "digits", files("/a"))
    with pytest.raises(NotFoundError, match=r"there is no dataset .*(registered are: digits|versions of digits are: 1)$") as raised:
        registry.resolve(f"dataset:{reference}")
    assert workspace.url in str(raised.value)


def test_a_deleted_version_is_gone_and_its_number_stays_taken(registry: DatasetRegistry):
    for number in range(3):
        unchecked(registry, "digits", files(f"/{number}"))
    assert [registered.reference for registered in registry.delete("dataset:digits:3")] == ["dataset:digits:3"]
    assert registry.resolve("digits").version == 2
    with pytest.raises(NotFoundError):
        registry.resolve("digits:3")
    assert unchecked(registry, "digits", files("/2")).version == 4


def test_deleting_a_name_deletes_every_version_and_no_number_comes_again(registry: DatasetRegistry, tmp_path: Path):
    for number in range(3):
        unchecked(registry, "digits", files(f"/{number}"))
    registry.delete("digits:2")
    assert [registered.version for registered in registry.delete("dataset:digits")] == [1, 3]
    assert registry.names() == []
    with pytest.raises(NotFoundError, match="registered are: none"):
        registry.delete("digits")
    assert registry.register("digits", files("/anything"), validate=False).version == 4


# What is registered.


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:1", ".hidden", "-x", "_x", "ümläut", "x" * 256, "..", "a\n", "dataset"])
def test_a_name_that_is_none_is_refused(registry: DatasetRegistry, name: str):
    with pytest.raises(ConfigError, match="the dataset name"):
        registry.register(name, files("/a"), validate=False)


def test_relative_paths_are_stored_so_that_they_mean_the_same_everywhere(
    registry: DatasetRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder_of(tmp_path, "digits")
    monkeypatch.chdir(tmp_path)
    fsspec.filesystem("memory").pipe_file(f"{tmp_path}/x", b"")
    registered = registry.register("digits", files("digits/", "digits/../digits/*", "digits", f"memory://{tmp_path}/x"))
    assert registered.dataset.paths == (f"{tmp_path}/digits", f"{tmp_path}/digits/*", f"memory://{tmp_path}/x")
    monkeypatch.chdir("/")
    assert [item.path for item in list_items(registry.resolve("digits").dataset)] == [f"{tmp_path}/digits/0", f"memory://{tmp_path}/x"]


def test_the_order_in_which_paths_are_given_makes_no_other_definition(registry: DatasetRegistry):
    first = registry.register("digits", files("/a", "/b"), validate=False)
    assert registry.register("digits", files("/b", "/a", "/b"), validate=False) == first


def test_a_dataset_made_of_another_one_stores_what_that_is_now(registry: DatasetRegistry):
    unchecked(registry, "digits", files("/a"))
    unchecked(registry, "some", files("dataset:digits").take(5))
    unchecked(registry, "digits", files("/b"))
    assert registry.resolve("some").dataset == files("/a").take(5)


def test_every_path_that_has_no_files_is_refused_in_one_error_that_names_it(registry: DatasetRegistry, tmp_path: Path):
    full, empty, gone = folder_of(tmp_path, "full"), tmp_path / "empty", str(tmp_path / "gone")
    empty.mkdir()
    with pytest.raises(ConfigError) as raised:
        registry.register("digits", files(full, str(empty), gone, f"{full}/*.png"))
    assert len(raised.value.faults) == 3
    assert f"the dataset {empty} has no files now" in str(raised.value)
    assert f"{gone!r} does not exist" in str(raised.value)
    assert str(raised.value).count("validate=False (--no-validate)") == 3
    assert f"the dataset {full}/*.png has no files now" in str(raised.value)
    assert registry.names() == []


def test_a_cut_that_leaves_no_file_is_refused(registry: DatasetRegistry, tmp_path: Path):
    folder = folder_of(tmp_path, "digits", 3)
    registry.register("most", files(folder).skip(2))
    for empty in (files(folder).skip(3), files(folder).take(0), files(folder, f"{folder}/0").skip(3)):
        with pytest.raises(ConfigError, match="has no files now"):
            registry.register("none", empty)


def test_what_has_no_files_yet_is_registered_when_nobody_looks(registry: DatasetRegistry, tmp_path: Path):
    registered = registry.register("tomorrow", files(str(tmp_path / "tomorrow" / "*.png")), validate=False)
    folder_of(tmp_path, "tomorrow")
    assert registry.resolve("tomorrow") == registered


def test_the_name_and_the_paths_are_judged_in_one_error(registry: DatasetRegistry, tmp_path: Path):
    with pytest.raises(ConfigError) as raised:
        registry.register("a b", files(str(tmp_path / "gone")))
    assert len(raised.value.faults) == 2


def test_what_only_a_run_knows_cannot_be_registered(registry: DatasetRegistry):
    class TaskOutput:
        def iter_references(self):
            return ()

    with pytest.raises(ConfigError, match="with paths that are known now"):
        registry.register("digits", FileDataset.from_files(TaskOutput()))


def test_names_that_are_not_utf_8_are_registered_too(registry: DatasetRegistry, tmp_path: Path):
    path = str(tmp_path / "caf\udce9")
    Path(path).write_text("x")
    registry.register("cafe", files(path))
    assert registry.resolve("cafe").dataset == files(path)


def test_a_stored_definition_is_json_that_a_person_can_read(registry: DatasetRegistry, workspace: Workspace):
    unchecked(registry, "digits", files("/a"))
    stored = json.loads(workspace.store.read("datasets/digits/1.json"))
    assert stored["dataset"] == {"kind": "files", "paths": ["/a"], "start": 0}


# Races.


def at_once(registry: DatasetRegistry, datasets: list[FileDataset], **how: bool) -> list[RegisteredDataset | ConflictError]:
    start = Barrier(len(datasets))

    def register(dataset: FileDataset) -> RegisteredDataset | ConflictError:
        start.wait(30)
        try:
            return registry.register("digits", dataset, validate=False, **how)
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(len(datasets)) as pool:
        return list(pool.map(register, datasets))


def test_sixteen_at_once_lose_nothing_and_skip_no_number(registry: DatasetRegistry):
    datasets = [files(f"/{number}") for number in range(16)]
    registered = at_once(registry, datasets, create_new_version=True)
    assert sorted(each.version for each in registered) == list(range(1, 17))
    assert [each.dataset for each in registered] == datasets
    assert registry.versions("digits") == sorted(registered, key=lambda each: each.version)


def test_sixteen_at_once_with_one_definition_make_one_version(registry: DatasetRegistry):
    registered = at_once(registry, [files("/same")] * 16)
    assert [each.version for each in registered] == [1] * 16
    assert len(registry.versions("digits")) == 1


def test_of_two_at_once_with_two_definitions_one_wins_and_the_other_is_told(registry: DatasetRegistry):
    outcomes = at_once(registry, [files("/a"), files("/b")])
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, RegisteredDataset)]
    (loser,) = [outcome for outcome in outcomes if isinstance(outcome, ConflictError)]
    assert registry.versions("digits") == [winner]
    assert f"dataset:digits:1 is {winner.dataset}" in str(loser)


# References where an input is named.


def test_inputs_without_references_stay_as_they_are(workspace: Workspace):
    inputs = [files("/a", "./dataset:b").take(3), files("b/*.png")]
    assert resolve_inputs(workspace, inputs) == inputs


@pytest.mark.parametrize("cut", [(0, None), (2, None), (0, 3), (2, 3), (3, 2), (0, 0), (0, 99)])
@pytest.mark.parametrize("outer_cut", [(0, None), (1, None), (0, 2), (1, 2), (9, None), (2, 1)])
def test_a_reference_is_the_stored_dataset_with_the_outer_cut_on_top(
    workspace: Workspace, registry: DatasetRegistry, tmp_path: Path, cut: tuple[int, int | None], outer_cut: tuple[int, int | None]
):
    folder = folder_of(tmp_path, "digits", 9)
    unchecked(registry, "digits", FileDataset((folder,), *cut))
    (resolved,) = resolve_inputs(workspace, [FileDataset(("dataset:digits",), *outer_cut)])
    expected = [f"{folder}/{number}" for number in range(9)][slice(*cut)][slice(*outer_cut)]
    assert [item.path for item in list_items(resolved)] == expected


def test_a_reference_among_other_paths_is_replaced_by_all_of_its_own(workspace: Workspace, registry: DatasetRegistry):
    unchecked(registry, "digits", files("/b", "/c"))
    (resolved,) = resolve_inputs(workspace, [files("/a", "dataset:digits", "/d").take(5)])
    assert resolved == files("/a", "/b", "/c", "/d").take(5)


def test_a_cut_dataset_among_other_paths_must_be_an_input_of_its_own(workspace: Workspace, registry: DatasetRegistry):
    unchecked(registry, "digits", files("/b").take(5))
    with pytest.raises(ConfigError, match=r"'dataset:digits' is cut by skip or take \(/b, take 5\).* make it an input of its own"):
        resolve_inputs(workspace, [files("/a", "dataset:digits")])
    assert resolve_inputs(workspace, [files("/a"), files("dataset:digits")]) == [files("/a"), files("/b").take(5)]


def test_references_that_lead_nowhere_are_all_in_one_error(workspace: Workspace, registry: DatasetRegistry):
    unchecked(registry, "digits", files("/b"))
    with pytest.raises(ConfigError) as raised:
        resolve_inputs(workspace, [files("dataset:a"), files("/x", "dataset:b", "dataset:digits:2"), files("dataset:digits")])
    assert len(raised.value.faults) == 3
    assert all("digits" in fault for fault in raised.value.faults)


def test_which_version_a_reference_came_to_is_logged(workspace: Workspace, registry: DatasetRegistry, caplog: pytest.LogCaptureFixture):
    unchecked(registry, "digits", files("/a"))
    unchecked(registry, "digits", files("/b"))
    with caplog.at_level(logging.INFO, "airflow_batchinfer"):
        resolve_inputs(workspace, [files("dataset:digits")])
        resolve_side_inputs(workspace, {"labels": "dataset:digits:1"})
    assert caplog.messages == ["dataset:digits is version 2: /b", "dataset:digits:1 is version 1: /a"]


def test_a_side_input_is_the_one_path_of_its_dataset(workspace: Workspace, registry: DatasetRegistry):
    unchecked(registry, "labels", files("/labels"))
    given = {"labels": "dataset:labels", "other": "there/", "file": "./dataset:x"}
    assert resolve_side_inputs(workspace, given) == {"labels": "/labels", "other": "there/", "file": "./dataset:x"}


def test_a_side_input_that_is_several_paths_or_cut_or_unknown_is_told_so_in_one_error(workspace: Workspace, registry: DatasetRegistry):
    unchecked(registry, "several", files("/a", "/b"))
    unchecked(registry, "cut", files("/a").take(2))
    with pytest.raises(ConfigError) as raised:
        resolve_side_inputs(workspace, {"a": "dataset:several", "b": "dataset:cut", "c": "dataset:none"})
    assert [fault.partition(";")[0] for fault in raised.value.faults[:2]] == [
        "the side input a='dataset:several' is /a, /b",
        "the side input b='dataset:cut' is /a, take 2",
    ]
    assert "there is no dataset 'none'" in raised.value.faults[2]
