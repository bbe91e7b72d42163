"""Hostile archives, each through the registry as users meet it: refused whole, and nothing of them is left anywhere."""

import gzip
import io
import os
import random
import stat
import struct
import tarfile
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.registry.archives import MOST_FAULTS, Limits, is_archive, unpack
from airflow_batchinfer.storage import LocalStore
from airflow_batchinfer.workspace import Workspace
from tests.unit.registry.hostile import HOSTILE, put
from tests.unit.registry.packing import altered, entry, header, tar, tar_bytes, zipped


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def unpacked(archive: Path, limits: Limits | None = None) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        unpack(archive, archive.name, Path(folder), *([limits] if limits else []))
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def refusal(archive: Path, limits: Limits | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        unpacked(archive, limits)
    return caught.value


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_whole_and_leaves_nothing_anywhere(name: str, tmp_path: Path, temporary: Path):
    make, fault = HOSTILE[name]
    archive = make(tmp_path)
    workspace = Workspace(LocalStore(tmp_path / "workspace"))
    with pytest.raises(ConfigError, match=fault) as caught:
        ModelRegistry(workspace).register("mnist", str(archive))
    assert str(archive) in str(caught.value)
    assert "Nothing of it was registered; pack it anew" in str(caught.value)
    assert list(workspace.store.find("")) == []
    assert list(temporary.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {archive.name, "tmp"}


def test_the_empty_folder_of_an_archive_without_files_is_no_model(tmp_path: Path, temporary: Path):
    archive = tar(tmp_path / "m.tar.gz", header("a", tarfile.DIRTYPE))
    with pytest.raises(ConfigError, match="is an empty folder"):
        ModelRegistry(Workspace(LocalStore(tmp_path / "workspace"))).register("mnist", str(archive))


# All faults at once.


def test_one_error_lists_every_fault(tmp_path: Path):
    archive = tar(
        tmp_path / "m.tgz",
        ("/one", b""),
        ("../two", b""),
        header("three", tarfile.FIFOTYPE),
        ("four", b""),
        ("Four", b""),
        header("five", tarfile.SYMTYPE, "../x"),
        ("six", b"good"),
    )
    faults = refusal(archive).faults
    assert len(faults) == 5
    for fault, word in zip(faults, ("one", "two", "three", "Four", "five"), strict=True):
        assert word in fault


def test_of_very_many_faults_some_are_listed_and_the_rest_counted(tmp_path: Path):
    faults = refusal(zipped(tmp_path / "m.zip", *((f"/{number}", b"") for number in range(MOST_FAULTS + 1_234)))).faults
    assert len(faults) == MOST_FAULTS + 1
    assert faults[-1].startswith("and 1,234 more members are refused")


def test_faults_before_the_place_where_an_archive_breaks_off_are_told_too(tmp_path: Path):
    archive = altered(tar(tmp_path / "m.tar", ("/bad", b""), ("b", b"x" * 600)), lambda content: content.__delitem__(slice(1100, None)))
    assert [word in fault for fault, word in zip(refusal(archive).faults, ("/bad", "cut off"), strict=True)] == [True, True]


# Bombs.

SMALL = Limits(ratio=10, free_bytes=12_000, most_bytes=100_000, most_members=10)


def bomb(kind: str, tmp_path: Path, size: int) -> Path:
    name = f"m.{kind}"
    return zipped(tmp_path / name, ("a", bytes(size))) if kind == "zip" else tar(tmp_path / name, ("a", bytes(size)))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_that_becomes_much_more_than_it_is_is_refused_before_it_is_written(kind: str, tmp_path: Path):
    archive = bomb(kind, tmp_path, 20_000)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ConfigError, match="unpacks to more than 12,000 bytes"):
        unpack(archive, "it", folder, SMALL)
    assert list(folder.iterdir()) == []
    assert unpacked(bomb(kind, tmp_path, 7_000), SMALL) == {"a": bytes(7_000)}


def test_a_large_archive_may_become_more_than_a_small_one_but_not_any_amount(tmp_path: Path):
    noise = random.Random(0).randbytes(3_000)
    assert len(unpacked(zipped(tmp_path / "m.zip", ("noise", noise), ("a", bytes(20_000))), SMALL)) == 2
    noise = random.Random(0).randbytes(60_000)
    assert "more than 100,000 bytes" in str(refusal(zipped(tmp_path / "n.zip", ("noise", noise), ("a", bytes(60_000))), SMALL))


def test_many_small_files_count_together(tmp_path: Path):
    assert "more than 12,000 bytes" in str(refusal(zipped(tmp_path / "m.zip", *((str(n), bytes(2_000)) for n in range(7))), SMALL))


def test_links_count_as_the_files_that_they_become(tmp_path: Path):
    links = [header(f"link{number}", tarfile.LNKTYPE, "a") for number in range(5)]
    assert "more than 12,000 bytes" in str(refusal(tar(tmp_path / "m.tgz", ("a", bytes(3_000)), *links), SMALL))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_more_members_than_anyone_needs_are_refused(kind: str, tmp_path: Path):
    members = [(str(number), b"") for number in range(11)]
    archive = zipped(tmp_path / "m.zip", *members) if kind == "zip" else tar(tmp_path / "m.tar", *members)
    assert "holds more than 10 files and folders" in str(refusal(archive, SMALL))


def test_folders_that_only_names_tell_of_count_as_well(tmp_path: Path):
    assert "holds more than 10 files and folders" in str(refusal(zipped(tmp_path / "m.zip", ("a/" * 11 + "b", b"")), SMALL))


def test_members_that_bear_one_name_count_as_well(tmp_path: Path):
    members = [header("a", tarfile.DIRTYPE) for _ in range(11)]
    assert "holds more than 10 files and folders" in str(refusal(tar(tmp_path / "m.tar", *members), SMALL))


def test_what_is_packed_behind_the_end_of_a_tar_file_counts_as_well(tmp_path: Path):
    archive = tmp_path / "m.tar.gz"
    archive.write_bytes(gzip.compress(tar_bytes([("a", b"1")]) + bytes(20_000)))
    assert "more than 12,000 bytes" in str(refusal(archive, SMALL))


def test_a_size_of_petabytes_in_a_zip64_field_is_refused(tmp_path: Path):
    info = entry("a")
    info.extra = struct.pack("<HHQ", 1, 8, 1 << 60)
    archive = altered(zipped(tmp_path / "m.zip", (info, b"x")), put("<L", 24, 0xFFFFFFFF))
    assert "unpacks to more than" in str(refusal(archive))


def test_gigabytes_of_nothing_are_refused_as_users_meet_them(tmp_path: Path):
    archive = tmp_path / "m.zip"
    piece = bytes(1 << 20)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed, packed.open("zeros", "w") as stream:
        for _ in range(300):
            stream.write(piece)
    assert "unpacks to more than 268,435,456 bytes" in str(refusal(archive))


# What is no harm.


def test_links_to_files_of_the_archive_become_those_files(tmp_path: Path):
    archive = tar(
        tmp_path / "m.tar.gz",
        header("early", tarfile.SYMTYPE, "a/w.bin"),
        ("a/w.bin", b"weights"),
        header("a/b/up", tarfile.SYMTYPE, "../w.bin"),
        header("hard", tarfile.LNKTYPE, "./a/w.bin"),
        header("far", tarfile.SYMTYPE, "early"),
    )
    assert unpacked(archive) == dict.fromkeys(["a/b/up", "a/w.bin", "early", "far", "hard"], b"weights")
    archive = zipped(tmp_path / "m.zip", ("a/w.bin", b"weights"), (entry("b/link", stat.S_IFLNK | 0o777), b"../a/w.bin"))
    assert unpacked(archive) == {"a/w.bin": b"weights", "b/link": b"weights"}


def test_no_member_is_a_link_or_keeps_its_rights_after_unpacking(tmp_path: Path):
    archive = tar(
        tmp_path / "m.tar", (header("a", mode=0o6777), b"x"), header("b", tarfile.SYMTYPE, "a"), header("d", tarfile.DIRTYPE, mode=0o7000)
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    unpack(archive, "it", folder)
    for path in folder.rglob("*"):
        assert not path.is_symlink()
        assert stat.S_IMODE(path.lstat().st_mode) & 0o7133 == 0


@pytest.mark.parametrize("name", ["m.zip", "M.ZIP", "m.tar.gz", "m.tgz", "m.tar", "M.Tar.Gz"])
def test_what_is_an_archive_goes_by_its_name(name: str, tmp_path: Path):
    members = [("./a/b.txt", b"1"), ("c", b"")]
    archive = zipped(tmp_path / name, *members) if name.lower().endswith("zip") else tar(tmp_path / name, *members)
    assert is_archive(name)
    assert unpacked(archive) == {"a/b.txt": b"1", "c": b""}


@pytest.mark.parametrize("name", ["zip", "m.zip.txt", "tar", "m.gz", "m.keras"])
def test_other_names_are_of_files(name: str):
    assert not is_archive(name)


@pytest.mark.parametrize("name", ["m.tar.xz", "m.tar.bz2", "M.TBZ2", "m.7z"])
def test_what_is_packed_in_another_way_is_refused_since_a_script_would_find_no_model_in_it(name: str):
    with pytest.raises(ConfigError, match=r"only \.tar\.gz, \.tar and \.zip are unpacked"):
        is_archive(name)


def test_a_tar_file_that_lost_its_packing_on_its_way_is_read_and_the_other_way_round(tmp_path: Path):
    content = tar_bytes([("a", b"1")])
    for name, packed in (("m.tar.gz", content), ("n.tar", gzip.compress(content))):
        (tmp_path / name).write_bytes(packed)
        assert unpacked(tmp_path / name) == {"a": b"1"}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_file_is_read(form: int, tmp_path: Path):
    names = ["a" * 90, f"{'b' * 90}/{'c' * 90}", "ümläut"]
    members = [(name, name.encode()) for name in names]
    (tmp_path / "m.tar").write_bytes(tar_bytes(members, form))
    assert unpacked(tmp_path / "m.tar") == {name: name.encode() for name in names}


def test_a_zip_file_with_large_sizes_folders_and_something_before_it_is_read(tmp_path: Path):
    stream = io.BytesIO(b"#!/bin/sh\n")
    stream.seek(0, os.SEEK_END)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.mkdir("a")
        with archive.open("a/large", "w", force_zip64=True) as member:
            member.write(b"1")
        archive.writestr(zipfile.ZipInfo("a/stored"), b"22")
    (tmp_path / "m.zip").write_bytes(stream.getvalue())
    assert unpacked(tmp_path / "m.zip") == {"a/large": b"1", "a/stored": b"22"}


# Anything.

NAMES = st.text(st.sampled_from("aAb./\\\0 "), min_size=1, max_size=6)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])


@settings(max_examples=100)
@given(st.lists(st.tuples(NAMES, KINDS, NAMES), min_size=1, max_size=6))
def test_whatever_a_tar_file_holds_it_is_refused_or_lies_below_its_folder(members: list[tuple[str, bytes, str]]):
    with tempfile.TemporaryDirectory() as parent:
        archive, folder = Path(parent, "m.tar"), Path(parent, "deep", "folder")
        folder.mkdir(parents=True)
        archive.write_bytes(tar_bytes([(header(name, kind, to), b"x") for name, kind, to in members]))
        try:
            unpack(archive, "it", folder)
        except ConfigError:
            pass
        else:
            expected = [name for name, kind, _ in members if kind not in (tarfile.DIRTYPE, tarfile.FIFOTYPE)]
            assert sum(path.is_file() for path in folder.rglob("*")) == len(expected)
        assert not any(path.is_symlink() for path in Path(parent).rglob("*"))
        assert [path.name for path in Path(parent).iterdir() if path.name != "m.tar"] == ["deep"]
        assert [path.name for path in Path(parent, "deep").iterdir()] == ["folder"]


def sound_archives() -> dict[str, bytes]:
    members = [("a/b", b"1" * 700), ("c", os.fsencode("ü") * 30), ("l" * 120, b"x")]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    content = tar_bytes([*members, header("link", tarfile.SYMTYPE, "c")])
    return {"m.tar": content, "m.tar.gz": gzip.compress(content, mtime=0), "m.zip": stream.getvalue()}


SOUND = sound_archives()


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(SOUND)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    st.integers(0, 10_000) | st.just(10_000),
)
def test_a_damaged_archive_is_refused_or_read_and_raises_nothing_else(name: str, damage: list[tuple[int, int]], kept: int):
    content = bytearray(SOUND[name])
    for position, value in damage:
        content[position % len(content)] = value
    with tempfile.TemporaryDirectory() as parent:
        archive = Path(parent, name)
        archive.write_bytes(content[:kept])
        with suppress(ConfigError):
            unpacked(archive)
