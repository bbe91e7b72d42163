"""Datasets as a person uses them: registered by the command line, named by a reference wherever an input is named."""

import json
from pathlib import Path

from tests.integration.lab import Ended, Lab, row_of


def datasets(lab: Lab, *arguments: object, **how: object) -> Ended:
    return lab.batchinfer("datasets", *arguments, "--workspace", lab.workspace_url, **how)


def answered(lab: Lab, *arguments: object, **how: object) -> str:
    ended = datasets(lab, *arguments, **how)
    assert ended.code == 0, ended.stderr
    return ended.stdout


def test_datasets_are_registered_listed_shown_and_deleted(lab: Lab):
    lab.items("a.png", "b.png", "c.txt")
    assert answered(lab, "list") == "no datasets are registered\n"
    said = ("--description", "first", "--tag", "stage=test")
    assert answered(lab, "register", "digits", "inputs/*.png", *said) == "dataset:digits:1\n"
    assert answered(lab, "register", "digits", "inputs/*.png") == "dataset:digits:1\n"
    more = ("register", "digits", "inputs", "--skip", 1, "--take", 5, "--create-new-version", "--json")
    assert json.loads(answered(lab, *more))["version"] == 2
    heads, first, second = answered(lab, "list").splitlines()
    assert heads.split() == ["dataset", "registered", "files"]
    assert (first.split()[0], first.split()[3:]) == ("dataset:digits:1", [f"{lab.inputs}/*.png"])
    assert (second.split()[0], second.split("  ")[-1]) == ("dataset:digits:2", f"{lab.inputs}, skip 1, take 5")
    assert [registered["version"] for registered in json.loads(answered(lab, "list", "--json"))] == [1, 2]
    shown = json.loads(answered(lab, "show", "dataset:digits:1"))
    assert (shown["tags"], shown["description"], shown["dataset"]["paths"]) == ({"stage": "test"}, "first", [f"{lab.inputs}/*.png"])
    counted = json.loads(answered(lab, "show", "digits", "--count"))
    assert (counted["version"], counted["items"], counted["bytes"]) == (2, 2, 5)
    assert answered(lab, "delete", "digits:2") == "deleted dataset:digits:2\n"
    assert json.loads(answered(lab, "show", "digits"))["version"] == 1
    missing = datasets(lab, "show", "digits:2")
    assert missing.code == 2
    assert "there is no dataset 'digits:2'" in missing.stderr
    assert missing.stderr.endswith("versions of digits are: 1\n")


def test_another_definition_under_a_name_that_is_taken_is_an_error_with_its_remedy(lab: Lab):
    lab.items("a", "b")
    answered(lab, "register", "digits", "inputs")
    ended = datasets(lab, "register", "digits", "inputs/a")
    assert ended.code == 1
    assert f"dataset:digits:1 is {lab.inputs}." in ended.stderr
    assert "--create-new-version" in ended.stderr
    assert answered(lab, "register", "digits", "inputs/a", "--create-new-version") == "dataset:digits:2\n"


def test_what_matches_nothing_is_registered_only_without_looking(lab: Lab):
    ended = datasets(lab, "register", "tomorrow", "inputs/*.png", "nowhere")
    assert ended.code == 2
    assert "the dataset inputs/*.png has no files now" in ended.stderr
    assert "'nowhere' does not exist" in ended.stderr
    assert "--no-validate" in ended.stderr
    assert answered(lab, "register", "tomorrow", "inputs/*.png", "--no-validate") == "dataset:tomorrow:1\n"


def test_wrong_cuts_and_tags_are_told_with_code_2(lab: Lab):
    lab.items("a")
    for wrong, says in (
        (("--skip", -1), "skip(-1): give a whole number"),
        (("--take", "x"), "--take"),
        (("--tag", "x"), "--tag 'x': give NAME=VALUE"),
    ):
        ended = datasets(lab, "register", "digits", "inputs", *wrong)
        assert ended.code == 2
        assert says in ended.stderr


def test_a_run_takes_a_dataset_by_name_says_which_version_and_makes_the_same_job_as_by_path(lab: Lab):
    rows = lab.many(6)
    answered(lab, "register", "digits", "inputs/00000")
    answered(lab, "register", "digits", "inputs", "--create-new-version")
    ended = lab.run("names.py", "--input", "dataset:digits")
    assert f"dataset:digits is version 2: {lab.inputs}" in ended.stderr
    assert lab.rows == rows
    by_path = lab.run("names.py").summary
    assert (by_path["job"], by_path["reused"]) == (ended.summary["job"], True)
    assert lab.run("names.py", "--input", "dataset:digits:2").summary["job"] == by_path["job"]
    assert lab.run("names.py", "--input", "dataset:digits:1").summary["items"] == 1


def test_a_cut_dataset_gives_its_part_also_beside_another_input(lab: Lab):
    rows = lab.many(6)
    answered(lab, "register", "some", "inputs", "--skip", 2, "--take", 3)
    lab.run("names.py", "--input", "inputs/00000", "--input", "dataset:some")
    assert lab.rows == [rows[0], *rows[2:5]]


def test_a_dataset_is_listed_anew_by_every_run(lab: Lab):
    lab.items("a")
    answered(lab, "register", "digits", "inputs")
    lab.run("names.py", "--input", "dataset:digits")
    (lab.inputs / "b").write_bytes(b"22")
    assert not lab.run("names.py", "--input", "dataset:digits").summary["reused"]
    assert lab.rows == [row_of("a", 1), row_of("b", 2)]


def test_a_side_input_can_be_a_dataset(lab: Lab):
    lab.items("a")
    labels = lab.root / "labels"
    labels.mkdir()
    (labels / "a.txt").write_text("1")
    answered(lab, "register", "labels", "labels")
    script = lab.script("import os, sys\ndef run(items):\n    return [' '.join([sys.argv[1], *os.listdir(sys.argv[1])])]\n")
    ended = lab.run(script, "--side-input", "labels=dataset:labels", "--", "{labels}")
    assert lab.rows == [f"{labels} a.txt"]
    by_path = lab.run(script, "--side-input", f"labels={labels}", "--", "{labels}").summary
    assert (by_path["job"], by_path["reused"]) == (ended.summary["job"], True)


def test_datasets_that_are_not_registered_are_all_named_in_one_error_before_anything_is_planned(lab: Lab):
    lab.items("a")
    answered(lab, "register", "digits", "inputs")
    ended = lab.run("names.py", "--input", "dataset:numbers", "--input", "dataset:digits:7", "--side-input", "labels=dataset:labels")
    assert ended.code == 2
    assert "3 things are wrong:" in ended.stderr
    assert "there is no dataset 'numbers'" in ended.stderr
    assert "registered are: digits" in ended.stderr
    assert "there is no dataset 'digits:7'" in ended.stderr
    assert "there is no dataset 'labels'" in ended.stderr
    assert lab.jobs == []


def test_an_output_inside_a_registered_input_is_refused(lab: Lab):
    lab.items("a")
    answered(lab, "register", "digits", "inputs")
    ended = lab.run("names.py", "--input", "dataset:digits", "--output", lab.inputs / "out")
    assert ended.code == 2
    assert "lies inside the input" in ended.stderr


def test_a_file_that_is_called_like_a_reference_is_given_with_its_folder(lab: Lab):
    Path(lab.root, "dataset:digits").write_bytes(b"22")
    lab.run("names.py", "--input", "./dataset:digits")
    assert lab.rows == [row_of("dataset:digits", 2)]


def test_a_registered_dataset_means_the_same_from_every_folder(lab: Lab):
    rows = lab.many(3)
    answered(lab, "register", "digits", ".", cwd=lab.inputs)
    lab.run("names.py", "--input", "dataset:digits", cwd="/")
    assert lab.rows == rows


def test_how_a_registered_table_is_read_counts_and_options_that_say_otherwise_are_refused(lab: Lab):
    (lab.inputs / "a.csv").write_text("a;b\n1;2\n")
    lab.batchinfer(
        "datasets", "register", "t", lab.inputs / "a.csv", "--table", "--table-option", "separator=;", "--workspace", lab.workspace_url
    )
    script = lab.script("def run(mini_batch):\n    return [str(list(mini_batch.columns))]\n")
    for options in (["separator=|"], ["types=a:str"], ["columns=a"], ["format=json_lines"]):
        ended = lab.run(script, "--table", "--input", "dataset:t", "--table-option", *options)
        assert ended.code == 2
        assert "the input 'dataset:t' is " in ended.stderr
        assert "how it is read is part of the registered dataset: leave out what says so here" in ended.stderr
    for options in ([], ["--table"], ["--table", "--table-option", "separator=;"]):
        assert lab.run(script, "--input", "dataset:t", *options).summary["rows"] == 1
        assert lab.rows == ["['a', 'b']"]
