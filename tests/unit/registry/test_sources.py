"""What can be registered besides local files and folders, and what can be had back."""

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile

from airflow_batchinfer.errors import ConfigError, ConflictError, NotFoundError, StorageError
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.storage import insisting
from airflow_batchinfer.workspace import Workspace
from tests.unit.registry.packing import model_file, model_folder, tar, zipped

# Archives; hostile ones have a file of their own.


def test_the_files_of_an_archive_are_brought_without_a_folder_of_its_name(registry: ModelRegistry, tmp_path: Path):
    members = (("mnist-tf.model.index", b"1"), ("deep/b.txt", b"2"))
    for version, archive in enumerate([tar(tmp_path / "mnist-tf.tar.gz", *members), zipped(tmp_path / "other.zip", *members)]):
        model = registry.register(f"mnist-{version}", str(archive))
        place = registry.bring([model], tmp_path / f"here-{version}")
        files = {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        assert files == {"mnist-tf.model.index": b"1", "deep/b.txt": b"2"}


def test_the_same_files_in_another_archive_are_the_same_version(registry: ModelRegistry, tmp_path: Path):
    first = registry.register("mnist", str(tar(tmp_path / "a.tar.gz", ("x/a", b"1"), ("x/b", b"2"))))
    assert registry.register("mnist", str(zipped(tmp_path / "b.zip", ("x/b", b"2"), ("x/a", b"1")))) == first
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").write_text("1")
    (tmp_path / "x" / "b").write_text("2")
    assert registry.register("mnist", str(tmp_path / "x")) == first


def test_a_folder_with_the_name_of_an_archive_is_a_folder(registry: ModelRegistry, tmp_path: Path):
    (tmp_path / "model.zip").mkdir()
    (tmp_path / "model.zip" / "a").write_text("1")
    model = registry.register("mnist", str(tmp_path / "model.zip"))
    assert (registry.bring([model], tmp_path / "here") / "model.zip" / "a").read_text() == "1"


# From elsewhere.


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A folder in this process's memory."""
    url = f"memory://{uuid4().hex}"
    yield url
    fs = fsspec.filesystem("memory")
    if fs.exists(url):
        fs.rm(url, recursive=True)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test leaves anything in the temporary folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(insisting, "FIRST_PAUSE_SECONDS", 0.001)
    yield
    assert list(folder.iterdir()) == []


def put(url: str, content: bytes) -> str:
    fsspec.filesystem("memory").pipe_file(url, content)
    return url


def test_a_file_from_elsewhere_is_the_same_version_as_the_file_here(registry: ModelRegistry, tmp_path: Path, elsewhere: str):
    model = registry.register("mnist", put(f"{elsewhere}/weights.bin", b"weights"))
    assert registry.register("mnist", model_file(tmp_path, "weights")) == model


def test_a_folder_from_elsewhere_is_the_same_version_as_the_folder_here(registry: ModelRegistry, tmp_path: Path, elsewhere: str):
    for name in ("a.txt", "deep/b.txt", ".hidden"):
        put(f"{elsewhere}/mnist/{name}", name.encode())
    put(f"{elsewhere}/mnist-other/c.txt", b"not of it")
    model = registry.register("mnist", f"{elsewhere}/mnist/")
    folder = model_folder(tmp_path, **{"a.txt": "a.txt", "deep__b.txt": "deep/b.txt", ".hidden": ".hidden"})
    assert registry.register("mnist", folder) == model
    place = registry.bring([model], tmp_path / "here")
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()) == [
        "mnist/.hidden",
        "mnist/a.txt",
        "mnist/deep/b.txt",
    ]


def test_an_archive_from_elsewhere_is_unpacked(registry: ModelRegistry, tmp_path: Path, elsewhere: str):
    archive = tar(tmp_path / "mnist.tgz", ("a", b"1"))
    model = registry.register("mnist", put(f"{elsewhere}/mnist.tgz", archive.read_bytes()))
    assert (registry.bring([model], tmp_path / "here") / "a").read_text() == "1"


def test_what_is_not_there_elsewhere_is_named(registry: ModelRegistry, elsewhere: str):
    with pytest.raises(NotFoundError, match=f"the model path {elsewhere}/nothing does not exist"):
        registry.register("mnist", f"{elsewhere}/nothing")
    with pytest.raises(ConfigError, match=r"must name a file or a folder|holds the workspace"):
        registry.register("mnist", "memory://")
    with pytest.raises(ConfigError, match="is no URL"):
        registry.register("mnist", "http://[::1/w.bin")
    with pytest.raises(ConfigError, match=r"no-such-storage://x/y"):
        registry.register("mnist", "no-such-storage://x/y")


def test_names_elsewhere_that_lead_out_or_are_one_here_are_all_told(registry: ModelRegistry, elsewhere: str, tmp_path: Path):
    for name in ("a", "A", "b/../../../c", "d//e", "f\\g", "fine"):
        fsspec.filesystem("memory").store[f"/{elsewhere.removeprefix('memory://')}/m/{name}"] = MemoryFile(
            fsspec.filesystem("memory"), name, b"x"
        )
    with pytest.raises(ConfigError) as caught:
        registry.register("mnist", f"{elsewhere}/m")
    assert len(caught.value.faults) == 4
    assert all("rename it" in fault for fault in caught.value.faults)
    assert not (tmp_path / "c").exists()


def test_a_temporary_folder_without_space_is_told_with_the_remedy_and_not_asked_again(
    registry: ModelRegistry, elsewhere: str, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def get_file(self: object, *_: object) -> None:
        asked.append(self)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", get_file)
    with pytest.raises(StorageError, match=r"No space left on device at .*TMPDIR.*free some space"):
        registry.register("mnist", put(f"{elsewhere}/w.bin", b"1"))
    assert len(asked) == 1


def test_a_file_that_comes_short_is_asked_for_again_and_then_told(registry: ModelRegistry, elsewhere: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", lambda _, __, target: Path(target).write_bytes(b"12"))
    with pytest.raises(StorageError, match="2 bytes came of 3: it was cut off, or changed meanwhile"):
        registry.register("mnist", put(f"{elsewhere}/w.bin", b"123"))
    assert registry.names() == []


# Download.


def test_a_version_is_downloaded_as_it_was_registered(registry: ModelRegistry, tmp_path: Path):
    registry.register("mnist", model_folder(tmp_path, **{"a.txt": "1", "deep__b.txt": "2"}))
    place = registry.download("mnist:1", tmp_path / "here")
    assert place == tmp_path / "here"
    files = {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*") if path.is_file()}
    assert files == {"mnist/a.txt": "1", "mnist/deep/b.txt": "2"}
    registry.register("mnist", str(tar(tmp_path / "m.tar", ("a.txt", b"3"))))
    assert (registry.download("mnist", str(tmp_path / "latest")) / "a.txt").read_text() == "3"


def test_a_download_does_not_touch_what_is_there(registry: ModelRegistry, tmp_path: Path):
    registry.register("mnist", model_file(tmp_path))
    registry.download("mnist", tmp_path / "here")
    with pytest.raises(ConflictError, match="here exists and is not an empty folder"):
        registry.download("mnist", tmp_path / "here")
    with pytest.raises(NotFoundError, match="there is no model 'other'"):
        registry.download("other", tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("how", ["changed", "grown", "renamed", "added", "removed"])
def test_files_that_are_not_as_they_were_registered_are_not_downloaded(
    registry: ModelRegistry, workspace: Workspace, tmp_path: Path, how: str
):
    model = registry.register("mnist", model_file(tmp_path, "weights", "w.bin"))
    store, path = workspace.store, f"{model.folder}/w.bin"
    if how in ("renamed", "removed"):
        store.delete(path)
    if how != "removed":
        with store.writer(path if how in ("changed", "grown") else f"{model.folder}/x.bin") as stream:
            stream.write(b"Weights" if how == "changed" else b"weights and more" if how == "grown" else b"weights")
    with pytest.raises(StorageError, match=r"the files of mnist:1 .*(are not as they were registered|are gone)"):
        registry.download("mnist", tmp_path / "here")
    assert not (tmp_path / "here").exists()
