"""What scripts ask of the registry: the first answer binds the job, and what cannot be given is told."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import IO
from uuid import uuid4

import fsspec
import pytest

from airflow_batchinfer.engine.answering import Answer, Answers, has_changed
from airflow_batchinfer.errors import StorageError
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.storage import LocalStore, RemoteStore, Store
from airflow_batchinfer.workspace import JobFolder, Workspace

JOB = JobFolder("job-1")


class Desk:
    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.folder = folder
        self.workspace = Workspace(store or LocalStore(folder / "workspace"))
        self.registry = ModelRegistry(self.workspace)
        self.nodes = 0

    def register(self, name: str, content: str, **how: object) -> None:
        (self.folder / f"{name}.bin").write_text(content)
        self.registry.register(name, str(self.folder / f"{name}.bin"), **how)  # type: ignore[arg-type]

    def ask(self, **question: object) -> Answer:
        """As a node of its own, which knows only what is stored."""
        self.nodes += 1
        asked = {"tags": [], "properties": []} | question
        with closing(Answers(self.workspace, JOB, self.folder / f"node-{self.nodes}")) as answers:
            return answers.answer(asked).result(10)

    def one(self, name: str, version: int | None = None, **how: object) -> Answer:
        return self.ask(model=name, version=version, **how)

    def several(self, name: str | None = None, *, latest: bool = False, **how: object) -> list[str]:
        return [f"{model['name']}:{model['version']}" for model in self.ask(models=name, latest=latest, **how)["models"]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    return Desk(tmp_path)


def test_a_name_means_the_newest_version_and_its_files_are_here(desk: Desk):
    desk.register("m", "one")
    desk.register("m", "two", tags={"a": "b"}, properties={"c": "d"}, description="the second")
    (model,) = desk.one("m")["models"]
    assert (model["name"], model["version"], model["tags"], model["properties"]) == ("m", 2, {"a": "b"}, {"c": "d"})
    assert (model["description"], Path(model["path"], "m.bin").read_text()) == ("the second", "two")


def test_a_model_that_lies_elsewhere_is_brought_to_this_machine_once(tmp_path: Path):
    desk = Desk(tmp_path, RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}"))
    desk.register("m", "one")
    with closing(Answers(desk.workspace, JOB, tmp_path / "node")) as answers:
        asked = {"model": "m", "version": None, "tags": [], "properties": []}
        first, again = (answers.answer({**asked, "version": version}).result(10)["models"][0]["path"] for version in (None, 1))
    assert first == again
    assert Path(first, "m.bin").read_text() == "one"
    assert Path(first).is_relative_to(tmp_path / "node")


def test_what_is_left_of_a_model_that_was_not_brought_whole_is_in_no_other_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    desk = Desk(tmp_path, RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}"))
    for version in ("one", "two"):
        (tmp_path / version / "a").mkdir(parents=True)
        for name in ("a.txt" if version == "one" else "c.txt", "b.txt"):
            (tmp_path / version / "a" / name).write_text(version)
        desk.registry.register("m", str(tmp_path / version / "a"))
    writer = LocalStore.writer

    def full(store: LocalStore, path: str) -> AbstractContextManager[IO[bytes]]:
        if path == "a/b.txt":
            monkeypatch.setattr(LocalStore, "writer", writer)
            raise StorageError("the disk is full")
        return writer(store, path)

    monkeypatch.setattr(LocalStore, "writer", full)
    with closing(Answers(desk.workspace, JOB, tmp_path / "node")) as answers:
        asked = [{"model": "m", "version": version, "tags": [], "properties": []} for version in (1, 2, 1)]
        first, second, again = (answers.answer(question).result(10) for question in asked)
    assert first == {"failed": "the disk is full"}
    found = [sorted(path.name for path in Path(told["models"][0]["path"], "a").iterdir()) for told in (second, again)]
    assert found == [["b.txt", "c.txt"], ["a.txt", "b.txt"]]


def test_what_a_name_meant_first_it_means_for_all_nodes_of_the_job(desk: Desk):
    desk.register("m", "one")
    assert desk.one("m")["models"][0]["version"] == 1
    desk.register("m", "two")
    assert desk.one("m")["models"][0]["version"] == 1
    assert desk.one("m", 2)["models"][0]["version"] == 2


def test_who_lost_the_race_for_the_first_answer_goes_by_the_winner(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    desk.register("m", "one")
    create = LocalStore.create

    def late(store: LocalStore, path: str, content: bytes) -> None:
        if "/asked/" in path:
            create(store, path, content.replace(b"m:1", b"m:7").replace(b"m:2", b"m:1"))
        create(store, path, content)

    desk.register("m", "two")
    monkeypatch.setattr(LocalStore, "create", late)
    assert desk.one("m")["models"][0]["version"] == 1


def test_tags_and_properties_choose_among_the_versions(desk: Desk):
    desk.register("m", "one", tags={"stage": "prod"}, properties={"kind": "tree"})
    desk.register("m", "two", tags={"stage": "test"})
    assert desk.one("m", tags=[["stage", "prod"]])["models"][0]["version"] == 1
    assert desk.one("m", tags=[["stage", None]])["models"][0]["version"] == 2
    assert desk.one("m", properties=[["kind", "tree"]])["models"][0]["version"] == 1
    assert "stage=none" in desk.one("m", tags=[["stage", "none"]])["refused"]
    assert "no version of the model 'm:2' has stage=prod" in desk.one("m", 2, tags=[["stage", "prod"]])["refused"]


def test_a_list_has_the_newest_first(desk: Desk):
    for name, content in (("a", "one"), ("b", "one"), ("a", "two")):
        desk.register(name, content, tags={"n": name})
    assert desk.several() == ["a:2", "b:1", "a:1"]
    assert desk.several(latest=True) == ["a:2", "b:1"]
    assert desk.several("a") == ["a:2", "a:1"]
    assert desk.several(tags=[["n", "b"]]) == ["b:1"]


def test_what_is_not_there_is_told_and_found_once_it_is(desk: Desk):
    assert desk.one("m")["refused"].startswith("there is no model 'm' in the workspace")
    assert desk.several("m") == []
    desk.register("m", "one")
    assert desk.one("m")["models"][0]["version"] == 1
    assert desk.several("m") == ["m:1"]
    assert "'m:3'" in desk.one("m", 3)["refused"]


def test_a_version_that_was_bound_and_then_deleted_is_told(desk: Desk):
    desk.register("m", "one")
    desk.one("m")
    desk.registry.delete("m:1")
    desk.register("m", "two")
    assert "'m:1'" in desk.one("m")["refused"]


def test_a_question_that_makes_no_sense_is_refused_and_the_node_goes_on(desk: Desk):
    assert "cannot be answered: KeyError" in desk.ask(nonsense=True)["failed"]
    assert desk.one("../../secret")["refused"]


def test_a_job_has_changed_when_a_name_would_mean_another_version_now(desk: Desk):
    assert has_changed(desk.workspace, JOB.job) is None
    desk.register("m", "one")
    desk.one("m")
    desk.several("m")
    assert has_changed(desk.workspace, JOB.job) is None
    desk.register("n", "another name")
    assert has_changed(desk.workspace, JOB.job) is None
    desk.register("m", "two")
    assert "m:1 and would give m:2" in str(has_changed(desk.workspace, JOB.job))
    desk.registry.delete("m")
    assert "there is no model 'm'" in str(has_changed(desk.workspace, JOB.job))


@pytest.mark.parametrize("asked", [{"model": "m", "version": None}, {"model": "m", "version": 1}, {"models": "m", "latest": False}])
def test_a_job_whose_script_did_without_a_model_has_changed_when_there_is_one(desk: Desk, asked: dict[str, object]):
    desk.ask(**asked)
    desk.ask(**asked)
    assert has_changed(desk.workspace, JOB.job) is None
    desk.register("m", "one")
    assert "none and would give m:1" in str(has_changed(desk.workspace, JOB.job))
    assert desk.ask(**asked)["models"][0]["version"] == 1
