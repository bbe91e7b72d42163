"""What scripts of Azure ML do, each with what comes of it: what the original would have given, but for the decisions D1 to D10.

One table, for the command line and for a DAG. Items are five fish, 1 to 5 bytes long, two to a mini-batch; the scripts lie in
`entry_scripts/azure_habits`, or among the rest of the cast.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CAST = Path(__file__).parent / "entry_scripts"
FISH = ("cod", "eel", "ide", "orfe", "tench")
PONDS = ("pond=north/cod", "pond=north/eel", "pond=south/cod")
TIDES = "port,height,note\nHull,2.5,\nBude,6.1,spring tide\nWick,1.9,\nDeal,3.0,\n"
LABELS = "cod=white eel=long ide=gold\n"
MODEL = {"name": "pond", "slope": 0.5, "bias": 0.25}
TO_FAIL = {"error_threshold": -1}
ONLY_COUNTED = {"output_action": "summary_only"}


@dataclass(frozen=True)
class Habit:
    """A script of this folder, how it is called, and what comes of it.

    `rows` are those of the result, None where it has none. `files` are published beside it, of which `unordered` ones may have
    their lines in any order. `counts` are of the summary, whose others say that all items succeeded. `printed` are lines that the
    job keeps. `fails` is what a job says that fails. `gpus` is what the machine offers, which only a command line can be told.
    """

    script: str
    rows: Sequence[str] | None = None
    does: str = ""
    items: Sequence[str] = FISH
    config: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    unordered: bool = False
    counts: Mapping[str, Any] = field(default_factory=dict)
    printed: Sequence[str] = ()
    state: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fails: str | None = None
    model: bool = False
    labels: bool = False
    gpus: str = ""

    @property
    def path(self) -> Path:
        """Of the script."""
        own = CAST / "azure_habits" / self.script
        return own if own.exists() else CAST / self.script

    @property
    def name(self) -> str:
        """Letters, digits and underscores."""
        return f"{self.path.stem}_{self.does.replace(' ', '_')}".rstrip("_")

    @property
    def of_table(self) -> bool:
        """Whether it gets rows of a table."""
        return self.items == ()

    @property
    def file_name(self) -> str:
        """Of the result."""
        return str(self.config.get("append_row_file_name", "parallel_run_step.txt"))

    @property
    def text(self) -> str | None:
        """The result."""
        return None if self.rows is None else "".join(f"{row}\n" for row in self.rows)

    @property
    def full_counts(self) -> dict[str, Any]:
        """The counts of the summary."""
        items = 4 if self.of_table else len(self.items)
        rows = items if self.rows is None else len(self.rows)
        found = {"items": items, "items_failed": 0, "rows": rows, "mini_batches_failed": 0, **self.counts}
        return {**found, "items_succeeded": items - found["items_failed"]}

    def place(self, folder: Path) -> None:
        """Write its items."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.of_table:
            (folder / "tides.csv").write_text(TIDES)
        for number, name in enumerate(self.items):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x" * (number + 1))

    def check(self, output: Path, summary: Mapping[str, Any], printed: str, state: Path) -> None:
        """Whether that came of it: the folder of the result, the summary, what was printed, and the folder STATE_DIR."""
        assert {name: summary[name] for name in self.full_counts} == self.full_counts
        assert ((output / self.file_name).read_text() if (output / self.file_name).exists() else None) == self.text
        for name, text in self.files.items():
            found = (output / name).read_text()
            assert (sorted(found.splitlines()) == sorted(text.splitlines())) if self.unordered else (found == text)
        for line in self.printed:
            assert line in printed
        for name, words in self.state.items():
            assert [line.split()[0] for line in (state / name).read_text().splitlines()] == words


def place_model(folder: Path) -> Path:
    """What is registered as the model `pond`: a folder with one file."""
    folder.mkdir(parents=True)
    (folder / "weights.json").write_text(json.dumps(MODEL))
    return folder


def of_fish(form: str) -> list[str]:
    """A row for each, by `{name}` and `{size}`."""
    return [form.format(name=name, size=number + 1, square=(number + 1) ** 2, tens=(number + 1) * 10) for number, name in enumerate(FISH)]


SIBLING_LINES = len((CAST / "sibling.py").read_text().splitlines())
PREDICTED = ["cod 0.75", "eel 1.25", "ide 1.75", "orfe 2.25", "tench 2.75"]
NO_SUCCESS = "not one of 5 items succeeded"

HABITS = (
    # Returns of every kind.
    Habit("names.py", of_fish("{name}: {size}"), "a list"),
    Habit("returns_tuple.py", of_fish("{{'file': '{name}', 'bytes': {size}}}"), "and no init"),
    Habit("returns_lists.py", of_fish("['{name}', {size}, None]")),
    Habit("returns_generator.py", of_fish("{name}: {size}")),
    Habit("returns_map.py", of_fish("{name},{tens}")),
    Habit("returns_dict_view.py", of_fish("{name} scored")),
    Habit("returns_numpy.py", of_fish("{size}")),
    Habit("returns_matrix.py", ["[1 1]", "[2 4]", "[3 9]", "[ 4 16]", "[ 5 25]"]),
    Habit("returns_series.py", of_fish("{name}: {size}")),
    Habit("returns_frame.py", of_fish('"the ""{name}"" of today" {size}')),
    Habit("returns_wrong_shape.py", ["1 2", "3 4", "5"], "D3", config=TO_FAIL, counts={"items_failed": 2}),
    Habit("returns_several_rows.py", [f"{name} tile {tile}" for name in FISH for tile in "ab"], "D3"),
    Habit("returns_empty.py", does="D6", config=TO_FAIL, fails=NO_SUCCESS),
    Habit("returns_empty.py", does="D6 summary_only", config=TO_FAIL | ONLY_COUNTED, fails=NO_SUCCESS),
    # Exceptions swallowed.
    Habit(
        "swallows.py",
        ["cod ok", "eel ok", "tench ok"],
        "D4 append_row",
        config=TO_FAIL,
        counts={"items_failed": 2, "mini_batches_failed": 1},
        printed=["skipped a batch: cannot decode ide"],
    ),
    Habit("swallows.py", does="D4 summary_only", config=TO_FAIL | ONLY_COUNTED, counts={"items_failed": 2, "rows": 3}),
    Habit(
        "swallows_one_by_one.py",
        ["cod -5", "eel -10", "orfe 10", "tench 5"],
        "D3",
        config={"error_threshold": 1},
        counts={"items_failed": 1},
    ),
    # run, init and shutdown.
    Habit("replaces_run.py", of_fish("{name}: {size} decorated replaced")),
    Habit("decorates.py", ["cod after 0 calls", "eel after 0 calls", "ide after 1 calls", "orfe after 1 calls", "tench after 2 calls"]),
    Habit("run_is_a_method.py", ["cod in call 1", "eel in call 1", "ide in call 2", "orfe in call 2", "tench in call 3"]),
    Habit("uses_shutdown.py", of_fish("{name}: {size}"), state={"lifecycle": ["init", "run", "run", "run", "shutdown"]}),
    Habit(
        "counts_partition.py",
        ["north has 2: cod", "north has 2: eel", "south has 1: cod"],
        items=PONDS,
        config={"partition_keys": ["pond"], "mini_batch_size": None},
    ),
    # Arguments.
    Habit("parses_at_import.py", of_fish("{name} {tens} grams"), arguments=["--factor", "10", "--unit=grams"], printed=["factor 10"]),
    Habit(
        "parses_known_args.py",
        [
            f"{name} is {label} (--logging_level --output --mini_batch_size)"
            for name, label in zip(FISH, ["white", "long", "gold", "unknown", "unknown"], strict=True)
        ],
        "D9",
        arguments=["--labels", "{labels}"],
        labels=True,
    ),
    Habit(
        "scans_argv.py",
        of_fish("{name} at INFO"),
        "D9",
        printed=["INFO scans_argv: scoring 2 of at most 2 files"],
        config={"append_row_file_name": "Fish Of Today.TXT"},
    ),
    Habit(
        "writes_to_output_argument.py",
        does="D9",
        config=ONLY_COUNTED,
        files={f"by_file/{name}.txt": f"{number + 1}\n" for number, name in enumerate(FISH)},
    ),
    # Files.
    Habit("writes_to_outputs.py", list(FISH)),
    Habit(
        "writes_files.py",
        does="AZUREML_BI_OUTPUT_PATH",
        config=ONLY_COUNTED,
        files={f"{name}.scored": f"{name}: {number + 1}\n" for number, name in enumerate(FISH)},
    ),
    Habit(
        "appends_to_one_file.py",
        config=ONLY_COUNTED | {"process_count_per_node": 2},
        files={"scores.csv": "".join(f"{name};{number + 1}\n" for number, name in enumerate(FISH))},
        unordered=True,
    ),
    Habit("uses_sibling.py", of_fish(f"{{name}}: greeted by a sibling of {SIBLING_LINES} lines")),
    Habit(
        "shipped/score_with_names.py",
        ["codlings", "eels", "fish", "fish", "doctor fish"],
        config={"source_directory": "azure_habits/shipped"},
    ),
    Habit("loads_model_at_import.py", PREDICTED, model=True, printed=["model pond"]),
    # Surroundings.
    Habit("chooses_device.py", of_fish("{name} on cpu, 1 node"), "without GPUs"),
    Habit("chooses_device.py", of_fish("{name} on gpu 7 of 1, 1 node"), "with a GPU", gpus="7"),
    Habit(
        "reads_environment.py",
        ["cod light", "eel light", "ide heavy", "orfe heavy", "tench heavy"],
        config={"environment_variables": {"WEIGHT_THRESHOLD": "2.5"}},
    ),
    Habit(
        "prints_and_logs.py",
        list(FISH),
        printed=["Start to init", "DEBUG|run method start: prints_and_logs.py, run(2 files)", "no newline at the end", "shut down"],
    ),
    # Tables.
    Habit(
        "scores_table.py",
        ["Hull 2.5  False", 'Bude 6.1 "spring tide" True', "Wick 1.9  False", "Deal 3.0  True"],
        items=(),
        config={"mini_batch_size": None},
    ),
    Habit(
        "filters_table.py",
        ["Hull 2.5 ", 'Bude 6.1 "spring tide"', "Deal 3.0 "],
        "D3",
        items=(),
        config={"mini_batch_size": None, **TO_FAIL},
        counts={"items_failed": 1},
    ),
    # Names of the SDK.
    Habit("imports_unused.py", list(FISH)),
    Habit("asks_for_model_path.py", PREDICTED, arguments=["--model_name", "pond"], model=True),
    Habit("uses_entry_script_class.py", list(FISH), printed=["scoring 2 files"]),
    Habit(
        "logs_to_run.py",
        list(FISH),
        counts={"metrics": {"files": {"count": 3, "last": 1, "sum": 5, "min": 1, "max": 2}}},
    ),
)
