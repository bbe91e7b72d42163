"""A folder that does not keep its word is refused before a job is put there, with a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import fsspec
import pytest

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.storage import LocalStore, RemoteStore, open_store, probe
from airflow_batchinfer.workspace import Workspace


class Honest:
    """A store by delegation; the liars below break one word each."""

    def __init__(self) -> None:
        self.store = RemoteStore(fsspec.filesystem("memory"), f"/{uuid4().hex}")
        self.url = self.store.url
        self.local_root = None

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        return self.store.read(path, start, stop)

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        with self.store.open(path) as stream:
            yield stream

    def create(self, path: str, content: bytes) -> None:
        self.store.create(path, content)

    @contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        with self.store.writer(path) as stream:
            yield stream

    def find(self, folder: str) -> Iterator[str]:
        return self.store.find(folder)

    def children(self, folder: str) -> list[str]:
        return self.store.children(folder)

    def delete(self, path: str) -> None:
        self.store.delete(path)


class CreatesOverWhatIsThere(Honest):
    def create(self, path: str, content: bytes) -> None:
        with self.store.writer(path) as stream:
            stream.write(content)


class SaysItCreatedAndDidNot(Honest):
    def create(self, path: str, content: bytes) -> None:
        try:
            self.store.create(path, content)
        except FileExistsError:
            return


class CreatesOverWhatIsThereAndSaysItDidNot(CreatesOverWhatIsThere):
    def create(self, path: str, content: bytes) -> None:
        there = list(self.store.find(path.rpartition("/")[0]))
        super().create(path, content)
        if path in there:
            raise FileExistsError(path)


class ReadsWhatItReadBefore(Honest):
    def __init__(self) -> None:
        super().__init__()
        self.remembered: dict[str, bytes] = {}

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        return self.remembered.setdefault(path, self.store.read(path))[start:stop]


class ListsNothing(Honest):
    def find(self, folder: str) -> Iterator[str]:
        del folder
        return iter(())


class DropsStreams(Honest):
    @contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        del path
        yield BytesIO()


@pytest.mark.parametrize("kind", [*Honest.__subclasses__(), CreatesOverWhatIsThereAndSaysItDidNot], ids=lambda kind: kind.__name__)
def test_a_store_that_lies_is_refused_with_its_name_and_a_remedy(kind: type[Honest]):
    store = kind()
    with pytest.raises(ConfigError, match=f"the workspace {store.url} is not safe: .*put the workspace on local disk, S3, Azure or GCS"):
        probe(store)
    assert store.store.children("") == []


def test_a_store_that_keeps_its_word_passes():
    probe(Honest())


@pytest.mark.parametrize("below", ["file", "proc"])
def test_a_folder_that_cannot_be_written_is_refused_with_its_name_and_a_remedy(tmp_path: Path, below: str):
    (tmp_path / "file").write_text("not a folder")
    place = {"file": tmp_path / "file" / "workspace", "proc": Path("/proc/workspace")}[below]
    with pytest.raises(ConfigError, match=rf"the workspace {place} cannot be used: .*(choose another folder|put the workspace on)"):
        Workspace.at(str(place))


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match=f"the workspace {tmp_path / 'file'} cannot be used"):
        Workspace.at(str(tmp_path / "file"))


def test_a_storage_without_an_atomic_create_is_refused_before_anything_is_written():
    with pytest.raises(ConfigError, match=r"^ftp://host/folder: ftp:// cannot create a file atomically.*put the workspace on local disk"):
        open_store("ftp://host/folder")


def test_a_new_workspace_holds_nothing_after_the_probe(tmp_path: Path):
    workspace = Workspace.at(str(tmp_path / "new"))
    assert workspace.store.local_root == tmp_path / "new"
    assert list((tmp_path / "new").iterdir()) == []


def test_the_workspace_is_where_the_environment_says_and_else_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BATCHINFER_WORKSPACE", raising=False)
    assert Workspace.at().url == str(tmp_path / ".batchinfer")
    monkeypatch.setenv("BATCHINFER_WORKSPACE", str(tmp_path / "elsewhere"))
    assert Workspace.at().url == str(tmp_path / "elsewhere")
    assert Workspace.at(str(tmp_path / "given")).url == str(tmp_path / "given")


def test_a_local_store_can_be_probed_by_many_at_once(tmp_path: Path):
    for _ in range(3):
        probe(LocalStore(tmp_path))
    assert list(tmp_path.iterdir()) == []
