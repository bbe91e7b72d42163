from pathlib import Path

import pytest

from airflow_batchinfer.datasets import FileDataset
from airflow_batchinfer.planning.overlap import overlap_faults


def overlaps(path: str, folder: str) -> bool:
    return bool(overlap_faults([FileDataset.from_files(path)], {"the output folder": folder}, "rows.txt"))


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/data", "/data/out"),
        ("/data/", "/data/a/b/out"),
        ("/data", "/data"),
        ("/data/**", "/data/a/out"),
        ("/data/*/*", "/data/out"),
        ("/", "/anywhere"),
        ("file:///data", "/data/out"),
        ("s3://bucket/data", "s3://bucket/data/out"),
        ("s3://bucket/data/", "s3://bucket/data"),
        ("s3://bucket", "s3://bucket/out"),
        ("memory://data/**", "memory://data/out"),
        ("/data/**/*.txt", "/data/out"),
        ("/data/*/*.txt", "/data/out"),
        ("/data/**/*.png", "/data/out"),
        ("/data/*/_*.json", "/data/out"),
    ],
)
def test_a_folder_of_ours_inside_an_input_is_a_fault(path: str, folder: str):
    assert overlaps(path, folder)


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/data/in", "/data/out"),
        ("/data", "/database"),
        ("/data/in/file.png", "/data/in/out"),
        ("/data/*.png", "/data/out"),
        ("/data/*/*.png", "/data/out"),
        ("/data/in/**/*.png", "/data/out"),
        ("s3://bucket/data", "s3://bucket/database"),
        ("s3://bucket/data", "/bucket/data/out"),
        ("/out/in", "/out"),
    ],
)
def test_a_folder_of_ours_beside_or_above_an_input_is_none(path: str, folder: str):
    assert not overlaps(path, folder)


def test_links_are_followed(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert overlaps(str(tmp_path / "data"), str(tmp_path / "link" / "out"))
    assert overlaps(str(tmp_path / "link"), str(tmp_path / "data" / "out"))
    assert overlaps(str(tmp_path / "link" / "**"), str(tmp_path / "data" / "out"))


def test_relative_paths_count_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert overlaps(".", "out")
    assert overlaps("data/../data", str(tmp_path / "data" / "out"))


def test_an_input_folder_whose_name_looks_like_a_glob_is_a_folder(tmp_path: Path):
    (tmp_path / "set[1]").mkdir()
    assert overlaps(str(tmp_path / "set[1]"), str(tmp_path / "set[1]" / "out"))


def test_each_overlap_is_a_sentence_that_names_both():
    datasets = [FileDataset.from_files(["/data", "/other"]), FileDataset.from_files("/data/more")]
    faults = overlap_faults(datasets, {"the output folder": "/data/more/out", "the workspace": "/other/ws"}, "rows.txt")
    why = "so the next run would score what this one writes; choose another folder"
    assert faults == [
        f"the output folder /data/more/out lies inside the input '/data', {why}",
        f"the workspace /other/ws lies inside the input '/other', {why}",
        f"the output folder /data/more/out lies inside the input '/data/more', {why}",
    ]
