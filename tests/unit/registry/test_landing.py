import os
from pathlib import Path

import pytest

from airflow_batchinfer.errors import ConflictError, StorageError
from airflow_batchinfer.registry.landing import landing


def land(target: Path) -> None:
    with landing(target) as making:
        (making / "file").write_text("new")


def test_a_folder_appears_with_all_that_was_put_into_it(tmp_path: Path):
    target = tmp_path / "deep" / "target"
    with landing(target) as making:
        (making / "file").write_text("new")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["file"]
    assert list(target.parent.iterdir()) == [target]


def test_an_empty_folder_gives_way(tmp_path: Path):
    (tmp_path / "target").mkdir()
    land(tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "new"


def test_when_the_block_raises_there_is_nothing(tmp_path: Path):
    with pytest.raises(ValueError, match="no"), landing(tmp_path / "target") as making:
        (making / "file").write_text("half")
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["a file", "a folder with a file", "a link to a folder", "a link to nowhere"])
def test_what_is_there_already_stays_and_is_named(there: str, tmp_path: Path):
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if there == "a file":
        target.write_text("old")
    elif there == "a folder with a file":
        target.mkdir()
        (target / "old").touch()
    else:
        target.symlink_to(elsewhere if there == "a link to a folder" else "nowhere")
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(ConflictError, match=r"target exists and is not an empty folder; remove it, or choose another"):
        land(target)
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_what_comes_to_be_there_meanwhile_stays_too(tmp_path: Path):
    target = tmp_path / "target"
    with pytest.raises(ConflictError, match="exists and is not an empty folder"), landing(target):
        target.mkdir()
        (target / "other").touch()
    assert [path.name for path in target.iterdir()] == ["other"]
    assert list(tmp_path.iterdir()) == [target]


def test_the_current_folder_is_not_replaced_under_the_feet_of_whoever_stands_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConflictError, match="is the current folder"):
        land(Path(os.getcwd()))


def test_a_folder_below_a_file_is_refused_with_the_remedy(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises((ConflictError, StorageError), match="is a file"):
        land(tmp_path / "file" / "target")
    with pytest.raises((ConflictError, StorageError), match="is a file"):
        land(tmp_path / "file" / "deep" / "target")
