import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Barrier
from typing import BinaryIO

import pytest

from airflow_batchinfer.errors import ConfigError, NotFoundError, StorageError
from airflow_batchinfer.registry import Model, ModelRegistry
from airflow_batchinfer.storage import LocalStore, Store
from airflow_batchinfer.workspace import Workspace
from tests.unit.registry.packing import model_file, model_folder


def test_versions_count_from_one(registry: ModelRegistry, tmp_path: Path):
    versions = [registry.register("mnist", model_file(tmp_path, str(number))).version for number in range(3)]
    assert versions == [1, 2, 3]
    assert [model.version for model in registry.versions("mnist")] == [1, 2, 3]


def test_each_model_counts_on_its_own(registry: ModelRegistry, tmp_path: Path):
    registry.register("a", model_file(tmp_path, "1"))
    assert registry.register("b", model_file(tmp_path, "1")).version == 1
    assert registry.names() == ["a", "b"]


def test_the_same_content_is_the_same_version(registry: ModelRegistry, workspace: Workspace, tmp_path: Path):
    first = registry.register("mnist", model_file(tmp_path, "same"))
    registry.register("mnist", model_file(tmp_path, "other"))
    before = list(workspace.store.find(""))
    assert registry.register("mnist", model_file(tmp_path, "same")) == first
    assert list(workspace.store.find("")) == before


def test_another_name_of_the_file_is_another_content(registry: ModelRegistry, tmp_path: Path):
    registry.register("mnist", model_file(tmp_path, "same", "a.bin"))
    assert registry.register("mnist", model_file(tmp_path, "same", "b.bin")).version == 2


def test_what_lies_among_the_registered_models_is_not_registered_again(registry: ModelRegistry, workspace: Workspace, tmp_path: Path):
    registry.register("mnist", model_file(tmp_path))
    with pytest.raises(ConfigError, match="where registered models are kept; put what you train elsewhere"):
        registry.register("mnist", f"{workspace.url}/models/mnist")


def test_a_model_says_what_it_is(registry: ModelRegistry, tmp_path: Path):
    model = registry.register("mnist", model_file(tmp_path), tags={"by": "me"}, description="of tonight")
    assert registry.resolve("mnist:1") == model
    assert (model.reference, model.size_bytes, model.tags, model.description) == ("mnist:1", 7, {"by": "me"}, "of tonight")


def test_a_reference_is_a_name_a_version_or_the_latest(registry: ModelRegistry, tmp_path: Path):
    for number in range(2):
        registry.register("mnist", model_file(tmp_path, str(number)))
    assert [registry.resolve(reference).version for reference in ("mnist", "mnist:latest", "mnist:1", "mnist:2")] == [2, 2, 1, 2]


@pytest.mark.parametrize("reference", ["mnist:3", "mnist:0", "mnist:01", "mnist:x", "other", "other:1", "", ":1", "../mnist", "mnist:1:2"])
def test_what_is_not_registered_is_named_with_what_is(registry: ModelRegistry, tmp_path: Path, reference: str):
    registry.register("mnist", model_file(tmp_path))
    with pytest.raises(NotFoundError, match=r"there is no model .*(registered are: mnist|versions of mnist are: 1)$"):
        registry.resolve(reference)


def test_a_deleted_version_is_gone_and_its_number_stays_taken(registry: ModelRegistry, workspace: Workspace, tmp_path: Path):
    for number in range(3):
        registry.register("mnist", model_file(tmp_path, str(number)))
    (deleted,) = registry.delete("mnist:3")
    assert list(workspace.store.find(deleted.folder)) == []
    assert registry.resolve("mnist").version == 2
    with pytest.raises(NotFoundError):
        registry.resolve("mnist:3")
    assert registry.register("mnist", model_file(tmp_path, "2")).version == 4


def test_deleting_a_name_deletes_every_version_and_no_number_comes_again(registry: ModelRegistry, tmp_path: Path):
    for number in range(3):
        registry.register("mnist", model_file(tmp_path, str(number)))
    registry.delete("mnist:2")
    assert [model.version for model in registry.delete("mnist")] == [1, 3]
    assert registry.names() == []
    assert registry.register("mnist", model_file(tmp_path, "0")).version == 4


def test_what_is_deleted_cannot_be_deleted_again(registry: ModelRegistry, tmp_path: Path):
    registry.register("mnist", model_file(tmp_path))
    registry.delete("mnist")
    with pytest.raises(NotFoundError, match="registered are: none"):
        registry.delete("mnist")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:1", ".hidden", "-x", "_x", "ümläut", "x" * 256, "..", "a\n"])
def test_a_name_that_is_none_is_refused(registry: ModelRegistry, tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match="the model name"):
        registry.register(name, model_file(tmp_path))


def test_a_path_that_is_nowhere_or_elsewhere_or_empty_is_refused(registry: ModelRegistry, tmp_path: Path):
    with pytest.raises(NotFoundError, match="does not exist"):
        registry.register("mnist", str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="is an empty folder"):
        registry.register("mnist", str(tmp_path / "empty"))
    assert registry.names() == []


def test_everything_that_is_wrong_with_what_is_asked_is_told_at_once(registry: ModelRegistry, tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        registry.register("a b", model_file(tmp_path), tags={"epochs": 3}, properties={"": "x", "accuracy": None})
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["the model name 'a b'", "tags", "properties", "properties"]


def test_a_folder_that_holds_the_workspace_is_no_model(tmp_path: Path):
    registry = ModelRegistry(Workspace(LocalStore(tmp_path / "project" / ".batchinfer")))
    registry.register("mnist", model_file(tmp_path))
    with pytest.raises(ConfigError, match=r"holds the workspace .*give a folder of its own"):
        registry.register("mnist", str(tmp_path / "project"))
    assert registry.resolve("mnist").version == 1


def test_properties_are_kept_like_tags(registry: ModelRegistry, tmp_path: Path):
    model = registry.register("mnist", model_file(tmp_path), tags={"by": "me"}, properties={"accuracy": "0.97"})
    assert registry.resolve("mnist:1") == model
    assert (model.tags, model.properties) == ({"by": "me"}, {"accuracy": "0.97"})


def test_the_same_content_is_a_new_version_where_that_is_asked_for(registry: ModelRegistry, tmp_path: Path):
    first = registry.register("mnist", model_file(tmp_path, "same"))
    again = registry.register("mnist", model_file(tmp_path, "same"), tags={"night": "2"}, always_new_version=True)
    assert (again.version, again.digest, again.tags) == (2, first.digest, {"night": "2"})
    assert again.folder != first.folder
    assert registry.register("mnist", model_file(tmp_path, "same")) == first
    registry.delete("mnist:1")
    assert (registry.bring([again], tmp_path / "here") / "weights.bin").read_text() == "same"


def test_a_link_is_registered_under_the_name_that_was_given(registry: ModelRegistry, tmp_path: Path):
    (tmp_path / "current").symlink_to(model_folder(tmp_path, a="1"))
    model = registry.register("mnist", str(tmp_path / "current"))
    assert [path.name for path in registry.bring([model], tmp_path / "here").iterdir()] == ["current"]


def test_what_is_no_file_in_a_model_is_named_and_not_waited_for(registry: ModelRegistry, tmp_path: Path):
    folder = Path(model_folder(tmp_path, a="1"))
    os.mkfifo(folder / "pipe")
    (folder / "broken").symlink_to("nowhere")
    with pytest.raises(ConfigError) as caught:
        registry.register("mnist", str(folder))
    assert [fault.rpartition("/")[2].split(";")[0] for fault in caught.value.faults] == [
        "broken is a link that leads nowhere",
        "pipe is a pipe, a socket or a device",
    ]


class FailsAtTheFile:
    """A store that takes files until one has this name."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def writer(self, path: str) -> AbstractContextManager[BinaryIO]:
        if path.endswith(self._name):
            raise StorageError("no")
        return self._store.writer(path)


def test_a_registration_that_fails_in_the_middle_leaves_no_file(workspace: Workspace, tmp_path: Path):
    broken = ModelRegistry(Workspace(FailsAtTheFile(workspace.store, "/b")))
    with pytest.raises(StorageError):
        broken.register("mnist", model_folder(tmp_path, a="1", b="2", c="3"))
    assert list(workspace.store.find("models")) == []
    assert ModelRegistry(workspace).register("mnist", model_folder(tmp_path, a="1")).version == 1


def test_a_model_of_one_file_is_brought_as_a_folder_with_that_file(registry: ModelRegistry, tmp_path: Path):
    model = registry.register("mnist", model_file(tmp_path, "weights", "w.bin"))
    place = registry.bring([model], tmp_path / "here")
    assert {path.name: path.read_text() for path in place.iterdir()} == {"w.bin": "weights"}


def test_a_folder_is_brought_under_its_own_name_with_all_below_it(registry: ModelRegistry, tmp_path: Path):
    model = registry.register("mnist", model_folder(tmp_path, **{"a.txt": "1", "deep__b.txt": "2", ".hidden": "3"}))
    place = registry.bring([model], tmp_path / "here")
    files = {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*") if path.is_file()}
    assert files == {"mnist/a.txt": "1", "mnist/deep/b.txt": "2", "mnist/.hidden": "3"}


def test_several_models_are_brought_side_by_side_by_name_and_version(registry: ModelRegistry, tmp_path: Path):
    models = [registry.register(name, model_file(tmp_path, name, "w.bin")) for name in ("a", "b")]
    place = registry.bring(models, tmp_path / "here")
    assert {name: (place / name / "1" / "w.bin").read_text() for name in ("a", "b")} == {"a": "a", "b": "b"}


def test_a_file_that_bears_the_registry_s_own_name_is_a_file_like_any_other(registry: ModelRegistry, tmp_path: Path):
    model = registry.register("mnist", model_file(tmp_path, "mine", "model.json"))
    again = registry.register("mnist", model_file(tmp_path, "mine too", "model.json"))
    assert registry.versions("mnist") == [model, again]
    assert (registry.bring([model], tmp_path / "here") / "model.json").read_text() == "mine"


def test_names_that_are_not_utf_8_are_registered_too(tmp_path: Path):
    registry = ModelRegistry(Workspace(LocalStore(tmp_path / "workspace")))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9")).write_text("x")
    model = registry.register("mnist", str(folder))
    assert registry.resolve("mnist") == model


def test_a_broken_link_in_a_model_is_named_and_leaves_nothing(registry: ModelRegistry, tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").write_text("x")
    (folder / "broken").symlink_to("nowhere")
    with pytest.raises((ConfigError, NotFoundError), match="broken"):
        registry.register("mnist", str(folder))
    assert registry.names() == []


def at_once(registry: ModelRegistry, paths: list[str]) -> list[Model]:
    start = Barrier(len(paths))

    def register(path: str) -> Model:
        start.wait(30)
        return registry.register("mnist", path)

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(register, paths))


def test_sixteen_at_once_lose_nothing_and_skip_no_number(registry: ModelRegistry, tmp_path: Path):
    contents = [str(number) for number in range(16)]
    models = at_once(registry, [model_file(tmp_path, content) for content in contents])
    assert sorted(model.version for model in models) == list(range(1, 17))
    assert registry.versions("mnist") == sorted(models, key=lambda model: model.version)
    for content, model in zip(contents, models, strict=True):
        assert (registry.bring([model], tmp_path / f"here-{content}") / "weights.bin").read_text() == content


def test_sixteen_at_once_with_one_content_make_one_version_and_leave_nothing_else(
    registry: ModelRegistry, workspace: Workspace, tmp_path: Path
):
    models = at_once(registry, [model_file(tmp_path, "same") for _ in range(16)])
    assert {model.version for model in models} == {1}
    assert list(workspace.store.find("models")) == sorted([f"{models[0].folder}/weights.bin", "models/mnist/1/model.json"])


def test_sixteen_at_once_with_four_contents_make_four_versions(registry: ModelRegistry, workspace: Workspace, tmp_path: Path):
    models = at_once(registry, [model_file(tmp_path, str(number % 4)) for number in range(16)])
    assert sorted({model.version for model in models}) == [1, 2, 3, 4]
    assert len({model.digest for model in registry.versions("mnist")}) == 4
    assert len(list(workspace.store.find("models"))) == 8


def test_a_version_is_there_only_when_its_files_are(registry: ModelRegistry, workspace: Workspace, tmp_path: Path):
    model = registry.register("mnist", model_folder(tmp_path, a="1", b="2"))
    stored = json.loads(workspace.store.read("models/mnist/1/model.json"))
    assert stored["files"] == model.files
    workspace.store.delete("models/mnist/1/model.json")
    assert registry.names() == []
