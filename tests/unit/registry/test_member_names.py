import tarfile
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_batchinfer.registry.member_names import MOST_PATH_BYTES, Tree, fault_of, inside, plain, shown


@pytest.mark.parametrize(
    "name", ["a", "a/b.txt", "./a", ".hidden", "a b", "..a", "a..", "...", "ümläut-日本.bin", "x" * 255, "a//b", "a/./b", "a/"]
)
def test_a_name_that_leads_below_its_folder_and_can_be_shown_is_taken(name: str):
    assert fault_of(name) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("/etc/passwd", "absolute"),
        ("//etc/passwd", "absolute"),
        ("C:/windows", "absolute"),
        ("c:evil", "absolute"),
        ("..", "leads out"),
        ("../a", "leads out"),
        ("a/../b", "leads out"),
        ("a/..", "leads out"),
        ("..\\a", "backslash"),
        ("a\\b", "backslash"),
        ("a\0b", "cannot be shown"),
        ("a\nb", "cannot be shown"),
        ("a\x1b[2Jb", "cannot be shown"),
        ("a\u202etxt.exe", "cannot be shown"),
        ("caf\udce9", "cannot be shown"),
        ("x" * 256, "part in its name of more than 255 bytes"),
        ("ü" * 128, "part in its name of more than 255 bytes"),
        ("x/" * 500, "name of more than 800 bytes"),
        (".batchinfer-tmp-1", "unfinished"),
        ("a/.batchinfer-tmp-1/b", "unfinished"),
    ],
)
def test_a_name_that_is_not_is_refused_with_the_reason(name: str, fault: str):
    assert fault in (fault_of(name) or "")


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("a", "a"),
        ("./a/./b/", "a/b"),
        ("a/../b", "b"),
        ("a/..", ""),
        ("..", None),
        ("a/../../b", None),
        ("/a", None),
        ("", ""),
        ("a/b/../../c", "c"),
    ],
)
def test_where_a_path_leads_is_told_without_a_disk(path: str, leads_to: str | None):
    assert inside(path) == leads_to


def test_names_are_taken_beside_each_other_with_the_folders_above_them():
    tree = Tree()
    assert [tree.add(path) for path in ("a/b/c", "a/b/d", "e")] == [None] * 3
    assert tree.add("a/b", is_folder=True) is None
    assert tree.add("a/b", is_folder=True) is None
    assert len(tree) == 5


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        ("a", "a", "is there twice"),
        ("a/b", "a/b", "is there twice"),
        ("a", "A", "differs from 'a' only in case"),
        ("a/b", "A/c", "differs from 'a' only in case"),
        ("straße", "STRASSE", "only in case"),
        (unicodedata.normalize("NFC", "ü"), unicodedata.normalize("NFD", "Ü"), "only in case or in the form of its letters"),
        ("a", "a/b", "needs a folder where 'a' is a file"),
        ("a/b", "a/b/c/d", "needs a folder where 'a/b' is a file"),
        ("a/b", "a", "is a file where others need a folder"),
    ],
)
def test_names_that_are_one_on_some_file_system_are_refused(first: str, second: str, fault: str):
    tree = Tree()
    assert tree.add(first) is None
    assert fault in (tree.add(second) or "")


def test_a_long_or_odd_name_is_shown_so_that_it_does_no_harm():
    assert shown("a\x1b[2J\n") == r"'a\x1b[2J\n'"
    assert len(shown("x" * 100_000)) < 200


NAMES = st.text(st.sampled_from("aAäÄ./\\\0:~ \n"), max_size=12) | st.text(max_size=12)


@given(NAMES)
def test_whatever_passes_also_passes_python_s_own_filter_and_stays_below(name: str):
    if fault_of(name) is None and plain(name):
        info = tarfile.TarInfo(name)
        assert tarfile.data_filter(info, "/nowhere/at/all").name == name
        assert inside(name) == plain(name)
        assert len(plain(name).encode()) <= MOST_PATH_BYTES


@given(st.lists(st.text(st.sampled_from("aAäÄßS/"), min_size=1, max_size=6).map(plain).filter(bool), max_size=8))
def test_whatever_is_taken_together_is_apart_where_case_makes_no_difference(names: list[str]):
    tree = Tree()
    taken = [name for name in names if tree.add(name) is None]
    folded = [unicodedata.normalize("NFC", name.upper()) for name in taken]
    assert len(set(folded)) == len(taken)
    assert not any(one.startswith(f"{other}/") for one in folded for other in folded)
