"""What is asked of both: of each argument values on which they must agree, and those on which we want to differ, with the reason.

`docs/howto/migrate-from-azure-parallelrunstep.md` has DIFFERENCES as a table, and a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What is valid by itself, and what an argument is while others are tried.
BASE = {"entry_script": "score.py", "error_threshold": 10, "output_action": "append_row", "node_count": 2}
# Valid, edges and invalid, on which both say the same. None is what the original's default is.
AGREED: Mapping[str, Sequence[object]] = {
    "entry_script": ["score.py", "deep/score.py", " score.py ", "score", 3, ["score.py"]],
    "source_directory": [None, "scripts", "", "  ", "/abs/scripts", " scripts", 3, ["scripts"]],
    "error_threshold": [-1, 0, 10, 2**31, -2, 1.5, None, "many", "", [], float("nan"), float("inf")],
    "allowed_failed_count": [None, -1, 0, 7, -2, 1.5, "many", [], float("inf")],
    "allowed_failed_percent": [None, 0, 0.0, 12.5, 100, 100.0, -0.1, 100.1, "half", [], float("inf")],
    "output_action": ["append_row", "summary_only", "Append_Row", "SUMMARY_ONLY", "append", "", " append_row", None, 1],
    "append_row_file_name": [
        *(None, "rows.txt", "Rows.TXT", "no ending", "ümläut.txt", "rows.csv", ".hidden", 3),
        *(f"a{bad}b" for bad in '~"#%&*:<>?/\\{|}'),
    ],
    "mini_batch_size": [
        *(None, 1, 10, "1", "10", "007", "1kb", "10MB", "1gB", "1024KB"),
        *("ten", "", " 1", "1 ", "-1", "1.5", 1.5, "10 KB", "10B", "1KBKB", "1tb", [], "kb"),
    ],
    "partition_keys": [None, ["store"], ["store", "day"], "store", {"store": 1}, [1], [None], 7],
    "node_count": [1, 2, 10, 0, -1, None, "many", [], float("inf")],
    "process_count_per_node": [None, 1, 8, 0, -1, 0.5, "many", []],
    "logging_level": [None, "WARNING", "INFO", "DEBUG", "info", "Debug"],
    "run_invocation_timeout": [None, 1, 60, 0.5, 86400, 0, -1, "soon", []],
    "run_max_try": [None, 1, 3, 0, -1, "often", []],
    "environment_variables": [None, {}, {"NAME": "value"}, {"NAME": ""}, {"A": "a=b", "B": "two words"}],
    "description": [None, "", "MNIST, 28x28", "ümläut\nin two lines"],
}


@dataclass(frozen=True)
class Difference:
    """Values of one argument that one of both takes and the other refuses.

    `told` is how the documentation puts them. `beside` is another argument, with the values that make it a difference,
    and `like` what the original is given instead where such a value stands with others.
    """

    argument: str
    values: Sequence[object]
    told: str
    we_take: bool
    reason: str
    beside: tuple[str, Sequence[object]] | None = None
    like: object = None


_SIZES = [size for size in AGREED["mini_batch_size"] if size is not None] + [0, "0", -5, "0KB", True, "5\n"]
_APPENDS = ("output_action", ["append_row", "Append_Row"])
_COUNTS = ("output_action", ["summary_only", "SUMMARY_ONLY"])
_NO_FILE = "no file can be called so"
_PATHS = "paths are often Paths"
_AS_TEXT = "a template of Airflow renders to text"
_ONE = "it would be 1 or 0"
_SLIP = "it is a slip"
DIFFERENCES = (
    Difference("entry_script", [Path("score.py")], "a `Path`", True, _PATHS),
    Difference("entry_script", ["", "  ", None], "empty, `None`", False, "there is nothing to run"),
    Difference("entry_script", [b"score.py"], "bytes", False, "YAML and JSON have none"),
    Difference("entry_script", ["a\0b"], "a NUL in it", False, _NO_FILE),
    Difference("source_directory", [Path("scripts")], "a `Path`", True, _PATHS),
    Difference("source_directory", ["a\0b"], "a NUL in it", False, _NO_FILE),
    Difference("error_threshold", ["10", "-1", 3.0], '`"10"`, `3.0`', True, _AS_TEXT),
    Difference("error_threshold", [True, False], "`True`, `False`", False, _ONE),
    Difference("allowed_failed_count", ["5", 3.0], '`"5"`, `3.0`', True, _AS_TEXT),
    Difference("allowed_failed_count", [True, False], "`True`, `False`", False, _ONE),
    Difference("allowed_failed_percent", ["12.5"], '`"12.5"`', True, _AS_TEXT),
    Difference("allowed_failed_percent", [True], "`True`", False, _ONE),
    Difference("allowed_failed_percent", [float("nan")], "`nan`", False, "it would be no limit at all"),
    Difference("mini_batch_size", [0, "0", -5, "0KB"], "`0` and less", False, "an empty mini-batch is none"),
    Difference("mini_batch_size", [True], "`True`", False, _ONE),
    Difference("mini_batch_size", ["5\n"], "a line break after it", False, "a slip of the original's check"),
    Difference("partition_keys", [("store", "day")], "a tuple", True, "any sequence of names will do", like=["store", "day"]),
    Difference("partition_keys", [["store", "store"], [""]], "a key twice, an empty key", False, "no column and no folder is meant"),
    Difference("partition_keys", [[]], "`[]` beside `mini_batch_size`", True, "no keys are no partition", ("mini_batch_size", _SIZES)),
    Difference("node_count", ["4"], '`"4"`', True, _AS_TEXT),
    Difference("node_count", [11, 1000], "more than the cluster has", True, "a pool has no such limit: nodes wait for a slot"),
    Difference("node_count", [True, 1.5, float("nan")], "`True`, `1.5`, `nan`", False, _SLIP),
    Difference("process_count_per_node", ["8"], '`"8"`', True, _AS_TEXT),
    Difference("process_count_per_node", [True, 1.5, float("nan"), float("inf")], "`True`, `1.5`, `nan`, `inf`", False, _SLIP),
    Difference("run_invocation_timeout", ["600"], '`"600"`', True, _AS_TEXT),
    Difference("run_invocation_timeout", [True, float("nan")], "`True`, `nan`", False, "it would be one second, or never"),
    Difference("run_max_try", ["3"], '`"3"`', True, _AS_TEXT),
    Difference("run_max_try", [True, 1.5, float("nan"), float("inf")], "`True`, `1.5`, `nan`, `inf`", False, _SLIP),
    Difference("logging_level", ["ERROR", "VERBOSE", "", 10], "any but the three", False, "it is looked at before the run"),
    Difference("append_row_file_name", ["", ".", ".."], "no name of a file", False, "it could not be written", _APPENDS),
    Difference(
        "append_row_file_name", ["_errors.jsonl", "_rows.txt"], "`_` first", False, "such names are ours: `_errors.jsonl`", _APPENDS
    ),
    Difference("append_row_file_name", ["a\0b", "x" * 300], "a NUL, more than 200 bytes", False, _NO_FILE, _APPENDS),
    Difference("append_row_file_name", ["rows.txt.gz", "rows.zip"], "a packed one", False, "it would be text under that name", _APPENDS),
    Difference("append_row_file_name", [3], "no text, beside `summary_only`", False, _SLIP, _COUNTS),
    Difference(
        "environment_variables", [{"A": 1}, ["A=b"], "A=b", 5], "values that are no text, no dict", False, "no process can have them"
    ),
    Difference("environment_variables", [{"A=B": "x"}, {"": "x"}, {"A": "x\0y"}], "names Linux has not", False, "no process can have them"),
)
