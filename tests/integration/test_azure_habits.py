"""Scripts in the manner of Azure ML's, each with one habit, by `batchinfer run`: what comes of them is what came of them there."""

import json
import signal
from collections.abc import Iterator

import pytest

from airflow_batchinfer.cli import main
from airflow_batchinfer.registry import ModelRegistry
from airflow_batchinfer.workspace import Workspace
from tests.azure_habits import CAST, HABITS, LABELS, Habit, place_model
from tests.integration.lab import COMMAND, Lab

OPTIONS = {
    "mini_batch_size": "--mini-batch-size",
    "process_count_per_node": "--processes",
    "error_threshold": "--error-threshold",
    "output_action": "--output-action",
    "append_row_file_name": "--append-row-file-name",
}


def options(habit: Habit) -> list[object]:
    config = {"mini_batch_size": 2, "process_count_per_node": 1, **habit.config}
    found: list[object] = [word for name, option in OPTIONS.items() if config.get(name) is not None for word in (option, config[name])]
    found += [word for key in config.get("partition_keys", []) for word in ("--partition-key", key)]
    found += [word for name, value in config.get("environment_variables", {}).items() for word in ("--env", f"{name}={value}")]
    if "source_directory" in config:
        found += ["--source-directory", CAST / config["source_directory"]]
    found += ["--table", "--input", "inputs/tides.csv"] if habit.of_table else []
    found += ["--model", "pond"] if habit.model else []
    found += ["--side-input", "labels=labels.txt"] if habit.labels else []
    return [*found, "--", *habit.arguments]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A command line takes SIGTERM for itself."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


# In this process, which need not import pandas anew for each: test_cli.py starts the program.
@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.name)
def test_a_script_of_azure_ml_s_gives_what_it_gave_there(
    lab: Lab, habit: Habit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    habit.place(lab.inputs)
    if habit.labels:
        (lab.root / "labels.txt").write_text(LABELS)
    if habit.model:
        ModelRegistry(Workspace.at(lab.workspace_url)).register("pond", str(place_model(lab.root / "pond")))
    monkeypatch.setenv("BATCHINFER_GPUS", habit.gpus)
    monkeypatch.chdir(lab.root)
    code = main(lab.command(habit.path, *options(habit))[len(COMMAND) :])
    said = capsys.readouterr()
    if habit.fails:
        assert (code, lab.published) == (1, set())
        assert habit.fails in said.err
    else:
        assert code == 0, said.err
        habit.check(lab.output, json.loads(said.out.splitlines()[-1]), "\n".join(lab.printed().values()), lab.state)
