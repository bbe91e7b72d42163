"""Requirements are read once, with what they include, so that they mean the same on every machine, and hold no secret."""

from pathlib import Path

import pytest

from airflow_batchinfer.environments.requirements import Requirements, line_faults, read_requirements, without_secrets
from airflow_batchinfer.errors import ConfigError


def faults(requirements: str | list[str], folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        read_requirements(requirements, folder)
    return raised.value.faults


def test_packages_constraints_and_options_are_told_apart_and_comments_left_out(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "# what the model needs\n-r sub/base.txt\n-c bounds.txt\nnumpy==1.26.4  # not 2\n\npillow \\\n  >= 10\nx @ https://h/x.zip#egg=x\n"
    )
    (tmp_path / "sub" / "base.txt").write_text("\ufeff--index-url=https://pypi.example/simple\n-f wheels\nsix\n--no-index\n--pre\n")
    (tmp_path / "bounds.txt").write_text("protobuf<5\nnumpy==1.26.4\n")
    found = read_requirements("requirements.txt", tmp_path)
    assert found == Requirements(
        ("six", "numpy==1.26.4", "pillow >= 10", "x @ https://h/x.zip#egg=x"),
        ("protobuf<5", "numpy==1.26.4"),
        ("--index-url https://pypi.example/simple", f"--find-links {tmp_path}/sub/wheels", "--no-index", "--pre"),
    )


def test_a_list_is_read_as_the_lines_of_a_file_in_that_folder_would_be(tmp_path: Path):
    (tmp_path / "base.txt").write_text("six\n")
    lines = ["-r base.txt", "numpy ; python_version > '3.8'", "--find-links 'my wheels'", "-f https://h/x", "-f ${WHEELS}/x", ""]
    found = read_requirements(lines, tmp_path)
    assert found.packages == ("six", "numpy ; python_version > '3.8'")
    assert found.options == (f"--find-links {tmp_path}/my wheels", "--find-links https://h/x", "--find-links ${WHEELS}/x")


def test_what_includes_are_missing_or_go_in_a_circle_is_all_told(tmp_path: Path):
    (tmp_path / "a.txt").write_text("-r b.txt\n-r gone.txt\n-c also-gone.txt\n")
    (tmp_path / "b.txt").write_text("-r a.txt\n")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00")
    found = faults(["-r a.txt", "-r c.txt"], tmp_path)
    assert len(found) == 4
    assert ["includes itself" in found[0], "gone.txt: there is no file" in found[1], "cannot be read" in found[3]] == [True, True, True]


def test_a_file_elsewhere_is_not_included(tmp_path: Path):
    (fault,) = faults(["-r https://h/requirements.txt"], tmp_path)
    assert "'-r https://h/requirements.txt' is not on this machine" in fault


def test_one_file_may_be_included_twice(tmp_path: Path):
    (tmp_path / "a.txt").write_text("six\n")
    assert read_requirements(["-r a.txt", "-r a.txt"], tmp_path).packages == ("six",)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    assert faults("requirements.txt", tmp_path) == (f"requirements='requirements.txt': there is no file {tmp_path}/requirements.txt",)


def test_a_file_too_large_for_requirements_is_refused(tmp_path: Path):
    (tmp_path / "a.txt").write_text("six\n" * 300_000)
    assert "has more than 1 MiB" in faults("a.txt", tmp_path)[0]


SECRETS = [
    "--index-url https://user:hunter2@pypi.example/simple",
    "--extra-index-url=https://hunter2@pypi.example/simple",
    "-i https://${USER}:hunter2@pypi.example/simple",
    "-f https://u:hunter2@pypi.example",
    "--index-url https://user:a@hunter2@pypi.example/simple",
    "x @ git+https://hunter2@github.example/x.git",
    "x @ https://h/x-1.0-py3-none-any.whl?sv=1&sig=hunter2",
    "x @ https://h/x.zip?X-Amz-Signature=hunter2&other=1",
    "https://h/x.zip?token=hunter2",
]


@pytest.mark.parametrize("line", SECRETS)
def test_a_secret_is_refused_and_not_told(line: str):
    (fault,) = line_faults(line)
    assert "hunter2" not in fault
    assert "holds a secret" in fault
    assert "${NAME}" in fault


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://${INDEX_USER}:${INDEX_PASSWORD}@pypi.example/simple",
        "--index-url https://user:${INDEX_PASSWORD}@pypi.example/simple",
        "--index-url https://${INDEX_TOKEN}@pypi.example/simple",
        "x @ git+ssh://git@github.example/x.git@v1",
        "x @ git+https://github.example/x.git@v1",
        "x @ https://h/x.zip?sig=${SIGNATURE}",
        "x @ https://h/x.zip#sha256=0123",
        "numpy==1.26.4 --hash=sha256:0123",
        "x @ file:///wheels/x-1.0-py3-none-any.whl",
        "/wheels/x-1.0-py3-none-any.whl",
        "x @ file:///wheels/x-1.0.tar.gz#sha256=0123",
        "numpy[extra]>=1,!=1.5 ; python_version < '3.12'",
        "--only-binary=:all:",
    ],
)
def test_what_means_the_same_everywhere_is_taken(line: str):
    assert line_faults(line) == []
    assert without_secrets(line) == line


@pytest.mark.parametrize(
    "line", ["./x", "../x-1.0-py3-none-any.whl", "x-1.0-py3-none-any.whl", "x @ ./x", "libs/x", "x[a] @ ../x", "~/x.zip"]
)
def test_a_path_that_only_this_machine_has_is_refused(line: str):
    (fault,) = line_faults(line)
    assert "is a path of this machine only" in fault


@pytest.mark.parametrize("line", ["-e .", "-e git+https://h/x.git", "--editable=./x"])
def test_what_is_installed_in_place_is_refused_with_what_to_do_instead(line: str):
    (fault,) = line_faults(line)
    assert "source_directory" in fault


@pytest.mark.parametrize("line", ["/src/x", "x @ file:///src/x", "x @ file:///src/x/#egg=x.whl", "file:///src/x ; python_version > '3'"])
def test_a_folder_whose_content_nothing_binds_is_refused(line: str):
    (fault,) = line_faults(line)
    assert "is a folder" in fault
    assert "source_directory" in fault


@pytest.mark.parametrize("line", ["--target /x", "-x", "--", "-f", "--index-url=", "--find-links 'x"])
def test_an_option_that_means_nothing_here_is_refused(line: str):
    assert len(line_faults(line)) == 1


def test_what_a_program_says_is_told_without_secrets():
    said = "error: Failed to fetch `https://user:hunter2@h/simple/`\n cause: https://hunter2@h and https://h/x?sig=hunter2&a=1, at a@b"
    assert (
        without_secrets(said)
        == "error: Failed to fetch `https://****@h/simple/`\n cause: https://****@h and https://h/x?sig=****&a=1, at a@b"
    )


@pytest.mark.parametrize("line", [";x", " ; ", "a @ ;", "; python_version < '3.12'"])
def test_a_line_that_asks_for_nothing_is_refused(line: str):
    (fault,) = line_faults(line)
    assert "names no package" in fault


@pytest.mark.parametrize(
    ("line", "remedy"), [("pandas=2.2.3", True), ("a[b] = 1", True), ("pandas ==", False), ("a b", False), ("a>=1,<", False)]
)
def test_a_line_that_is_no_requirement_is_refused_before_a_node_finds_out(line: str, remedy: bool):
    (fault,) = line_faults(line)
    assert "cannot be read: " in fault
    assert ("one version is asked for with ==" in fault) == remedy
