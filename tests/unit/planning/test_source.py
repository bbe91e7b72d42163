import io
import os
import zipfile
from pathlib import Path

import pytest

from airflow_batchinfer.errors import ConfigError, ScriptError
from airflow_batchinfer.planning.source import SETTINGS_FILE, Source, read_source

SCRIPT = "def run(mini_batch):\n    return mini_batch\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "score.py").write_text(SCRIPT)
    (folder / "sibling.py").write_text("x = 1\n")
    (folder / "weights.bin").write_bytes(bytes(100))
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("y = 2\n")
    return folder


def names(source: Source) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(source.archive)).namelist()


def test_without_a_source_directory_the_script_and_its_sibling_modules_go_and_nothing_else(folder: Path):
    source = read_source(str(folder / "score.py"), None)
    assert source.entry_script == "score.py"
    assert sorted(names(source)) == ["score.py", "sibling.py"]


def test_a_script_that_does_not_end_in_py_goes_too(folder: Path):
    (folder / "score.txt").write_text(SCRIPT)
    assert sorted(names(read_source(str(folder / "score.txt"), None))) == ["score.py", "score.txt", "sibling.py"]


def test_a_source_directory_is_shipped_whole(folder: Path):
    source = read_source("score.py", str(folder))
    assert source.entry_script == "score.py"
    assert sorted(names(source)) == ["package/__init__.py", "score.py", "sibling.py", "weights.bin"]


def test_the_script_may_lie_deeper_in_the_source_directory(folder: Path):
    (folder / "package" / "deep.py").write_text(SCRIPT)
    assert read_source("package/deep.py", str(folder)).entry_script == "package/deep.py"
    assert read_source(str(folder / "package" / "deep.py"), str(folder)).entry_script == "package/deep.py"


def test_the_script_may_be_named_from_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder.parent)
    assert read_source("scripts/score.py", "scripts").entry_script == "score.py"


def test_a_linked_folder_is_shipped_like_any_other(folder: Path, tmp_path: Path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "tools.py").write_text("z = 3\n")
    (folder / "shared").symlink_to(tmp_path / "shared")
    assert "shared/tools.py" in names(read_source("score.py", str(folder)))


def test_what_nobody_wants_and_what_is_ours_is_left_out(folder: Path):
    for name in ["__pycache__", ".git", ".venv", "node_modules", ".batchinfer", "out"]:
        (folder / name).mkdir()
        (folder / name / "file").write_text("x")
    source = read_source("score.py", str(folder), [folder / ".batchinfer", folder / "out"])
    assert sorted(names(source)) == ["package/__init__.py", "score.py", "sibling.py", "weights.bin"]


def test_the_same_content_gives_the_same_bytes_whenever_and_wherever(folder: Path, tmp_path: Path):
    before = read_source("score.py", str(folder))
    for path in folder.rglob("*.py"):
        os.utime(path, (1, 1))
    moved = folder.rename(tmp_path / "elsewhere")
    after = read_source("score.py", str(moved))
    assert after.archive == before.archive
    assert after.digest == before.digest


@pytest.mark.parametrize("name", ["score.py", "sibling.py"])
def test_other_content_gives_another_digest(folder: Path, name: str):
    before = read_source(str(folder / "score.py"), None)
    (folder / name).write_text(SCRIPT + "# changed\n")
    assert read_source(str(folder / "score.py"), None).digest != before.digest


def test_a_new_name_gives_another_digest(folder: Path):
    before = read_source(str(folder / "score.py"), None)
    (folder / "sibling.py").rename(folder / "brother.py")
    assert read_source(str(folder / "score.py"), None).digest != before.digest


def test_a_file_that_can_be_executed_still_can(folder: Path):
    (folder / "sibling.py").chmod(0o755)
    archive = zipfile.ZipFile(io.BytesIO(read_source("score.py", str(folder)).archive))
    assert {info.filename: oct(info.external_attr >> 16) for info in archive.infolist()}["sibling.py"] == "0o755"


def test_a_broken_link_or_a_folder_among_the_siblings_is_passed_over(folder: Path):
    (folder / ".#score.py").symlink_to("user@host.1234")  # what an editor leaves while it is open
    (folder / "folder.py").mkdir()
    assert sorted(names(read_source(str(folder / "score.py"), None))) == ["score.py", "sibling.py"]
    assert "folder.py" not in names(read_source("score.py", str(folder)))


def test_a_script_that_is_not_there_is_named(folder: Path):
    with pytest.raises(ConfigError, match=rf"entry_script='nothing.py': there is no file .*{os.sep}nothing.py"):
        read_source("nothing.py", None)
    with pytest.raises(ConfigError, match="there is no such file inside source_directory="):
        read_source("nothing.py", str(folder))


def test_a_script_outside_the_source_directory_is_refused(folder: Path, tmp_path: Path):
    (tmp_path / "outside.py").write_text(SCRIPT)
    for script in ("../outside.py", str(tmp_path / "outside.py")):
        with pytest.raises(ConfigError, match="there is no such file inside source_directory="):
            read_source(script, str(folder))


def test_a_source_directory_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=f"there is no folder {tmp_path / 'nowhere'}"):
        read_source("score.py", str(tmp_path / "nowhere"))


@pytest.mark.parametrize("text", [b"def run(x)\n    return x\n", b"\0", b"x = '\xff'\n", b"def run(:\n"])
def test_a_script_that_is_not_python_is_refused_before_any_worker_starts(folder: Path, text: bytes):
    (folder / "score.py").write_bytes(text)
    with pytest.raises(ScriptError, match=f"the entry script {folder / 'score.py'} is not valid Python"):
        read_source(str(folder / "score.py"), None)


def test_the_line_that_is_not_python_is_told(folder: Path):
    (folder / "score.py").write_text("x = 1\n\ndef run(mini_batch)\n    return mini_batch\n")
    with pytest.raises(ScriptError, match="not valid Python, line 3"):
        read_source(str(folder / "score.py"), None)


def test_too_much_source_is_refused_with_a_remedy(folder: Path):
    with (folder / "data.bin").open("wb") as file:
        file.truncate(101 * 1024**2)
    with pytest.raises(ConfigError, match=r"holds 101 MB, more than 100 MB: keep code there, and give data as a model or a side input"):
        read_source("score.py", str(folder))


def test_a_file_whose_name_is_not_utf_8_is_refused_by_its_name(folder: Path):
    (folder / os.fsdecode(b"caf\xe9.py")).write_text("x = 1\n")
    with pytest.raises(ConfigError, match="caf"):
        read_source("score.py", str(folder))


def test_without_a_settings_file_frames_are_written_as_ever(folder: Path):
    assert read_source(str(folder / "score.py"), None).to_csv == "{}"


@pytest.mark.parametrize("source_directory", [True, False])
def test_the_settings_file_beside_the_script_says_how_frames_are_written(folder: Path, source_directory: bool):
    (folder / SETTINGS_FILE).write_text('{"append_row": {"pandas.DataFrame.to_csv": {"sep": ",", "header": true}}}')
    given = read_source("score.py", str(folder)) if source_directory else read_source(str(folder / "score.py"), None)
    assert given.to_csv == '{"header": true, "sep": ","}'


@pytest.mark.parametrize("text", ["{}", '{"append_row": {}}', '{"something": "else"}'])
def test_a_settings_file_that_says_nothing_of_frames_changes_nothing(folder: Path, text: str):
    (folder / SETTINGS_FILE).write_text(text)
    assert read_source(str(folder / "score.py"), None).to_csv == "{}"


@pytest.mark.parametrize("text", ["", "[]", "not JSON", '{"append_row": 1}', '{"append_row": {"pandas.DataFrame.to_csv": "sep"}}'])
def test_a_settings_file_that_cannot_be_read_is_named(folder: Path, text: str):
    (folder / SETTINGS_FILE).write_text(text)
    with pytest.raises(ConfigError, match=SETTINGS_FILE):
        read_source(str(folder / "score.py"), None)
